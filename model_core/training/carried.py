"""The baseline of a training sample: the reference carried to the target frames' landmarks, as at inference."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

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
    layers = PortraitLayers.of(to_bytes(reference), portrait, person)
    carried = layers.carry(targets)
    frames = torch.from_numpy(carried.frames).permute(0, 3, 1, 2).contiguous()
    return {"baseline": frames.float() / 127.5 - 1, "validity": torch.from_numpy(carried.validity)[:, None]}


def to_bytes(image: Tensor) -> np.ndarray:
    """(3, H, W) in [-1, 1] to (H, W, 3) uint8."""
    return ((image.permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).contiguous().numpy()
