"""Where the loss dwells in a target frame: the person, what moves in a face, and its mouth and eyes above all."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..motion.alignment import face_size
from ..motion.components import OUTER_MOUTH, RINGS
from ..types import Component
from .drawing import parsing_map

EYES = (RINGS[Component.LEFT_EYE], RINGS[Component.RIGHT_EYE])
_MARGIN = 0.1  # face sizes around mouth and eyes: lashes, corners, and where the landmarks are a little off


def focus(clip: dict[str, np.ndarray], frame: int) -> Tensor:
    """(4, H, W) in [0, 1]: the person; eyes, brows, nose and mouth with a margin; the mouth; the eyes."""
    person = torch.from_numpy(clip["foreground"][frame]).float() / 255
    landmarks, size = clip["landmarks"][frame], clip["images"].shape[1:3]
    drawn = parsing_map(landmarks, size).amax(0) > 0
    grown = F.max_pool2d(drawn.float()[None], 5, stride=1, padding=2)[0]
    areas = [around(landmarks, outlines, size) for outlines in ((OUTER_MOUTH,), EYES)]
    return torch.stack([person, grown, *areas])


def around(landmarks: np.ndarray, outlines: Sequence[Sequence[int] | np.ndarray], size: tuple[int, int]) -> Tensor:
    """(H, W), 1 within outlines and a margin around them."""
    mask = np.zeros(size, np.uint8)
    margin = max(round(2 * _MARGIN * face_size(landmarks)), 1)
    for outline in outlines:
        points = np.rint(landmarks[outline, :2].clip(-(2**14), 2**14)).astype(np.int32)
        cv2.fillPoly(mask, [points], (1,))
        cv2.polylines(mask, [points], True, (1,), thickness=margin)
    return torch.from_numpy(mask).float()
