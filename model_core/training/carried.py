"""The baseline of a training sample: the reference carried to the target frames' landmarks, as at inference."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..images import to_float, to_uint8
from ..warp import PortraitLayers


def carried_sample(
    reference: Tensor, portrait: np.ndarray, person: np.ndarray, targets: np.ndarray
) -> dict[str, Tensor]:
    """``baseline`` and ``validity`` of ``ClipDataset``'s items.

    Args:
        reference: (3, H, W) in [-1, 1].
        portrait: (478, 3), its landmarks.
        person: (H, W) float in [0, 1], 1 on the person.
        targets: (F, 478, 3).
    """
    carried = PortraitLayers.of(to_uint8(reference[None])[0], portrait, person).carry(targets)
    return {"baseline": to_float(carried.frames), "validity": torch.from_numpy(carried.validity)[:, None]}
