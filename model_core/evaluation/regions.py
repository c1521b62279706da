"""The parts of a face that people look at, as masks drawn from the true landmarks: there results differ most."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..motion.components import CORNERS, OUTER_MOUTH, RINGS
from ..training.focus import EYES, around
from ..types import Component
from .metrics import OUTER_EYE_CORNERS

REGIONS: Mapping[str, str] = {
    "mouth": "lips and what is between them, with a margin",
    "inner_mouth": "what is between the lips, where they are open",
    "eyes": "both eyes with a margin",
    "lids": "the same in frames whose eyes are open less than two thirds as far as the portrait's",
}
"""By name, what each covers. A region may have no pixels in a frame."""

_OPEN = 0.015  # of the squared distance of the outer eye corners: 60 pixels of a face that fills 256 x 256
_CLOSING = 2 / 3
_LIDS = {Component.LEFT_EYE: (386, 374), Component.RIGHT_EYE: (159, 145)}
_CROP = 64


def face_regions(landmarks: np.ndarray, portrait: np.ndarray, size: tuple[int, int]) -> dict[str, Tensor]:
    """Where each of ``REGIONS`` is, by name (F, H, W) bool.

    Args:
        landmarks: (F, 478, 3) of the true frames, in their pixels.
        portrait: (478, 3), in pixels of its own.
        size: (H, W) of the frames.
    """
    mouth, eyes = (
        torch.stack([around(face, outlines, size) for face in landmarks]) > 0 for outlines in ((OUTER_MOUTH,), EYES)
    )
    closing = torch.from_numpy(eye_opening(landmarks) < _CLOSING * eye_opening(portrait))
    inner = torch.from_numpy(np.stack([_between_lips(face, size) for face in landmarks]))
    return {"mouth": mouth, "inner_mouth": inner, "eyes": eyes, "lids": eyes & closing[:, None, None]}


def eye_opening(landmarks: np.ndarray) -> np.ndarray:
    """Height of the eyes over their width, the mean of both: (..., 478, 3) to (...)."""

    def length(ends: tuple[int, int]) -> np.ndarray:
        return np.asarray(np.linalg.norm(landmarks[..., ends[0], :2] - landmarks[..., ends[1], :2], axis=-1))

    return np.asarray(
        sum(length(lids) / np.maximum(length(CORNERS[eye]), 1e-6) for eye, lids in _LIDS.items()) / len(_LIDS)
    )


def _between_lips(face: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool; nothing where lips touch, whose few pixels would be noise."""
    mask = np.zeros(size, np.uint8)
    left, right = (face[corner, :2] for corner in OUTER_EYE_CORNERS)
    ring = face[RINGS[Component.INNER_MOUTH], :2].clip(-(2**14), 2**14).astype(np.float32)
    if cv2.contourArea(ring) >= _OPEN * float(np.square(left - right).sum()):
        cv2.fillPoly(mask, [np.rint((ring - 0.5) * 16).astype(np.int32)], (1,), cv2.LINE_8, 4)
    return mask > 0


def cut_out(frames: Tensor, where: Tensor) -> Tensor:
    """The square around a region in each frame, resized to (n, 3, 64, 64); n frames have the region."""
    crops = []
    for frame, mask in zip(frames, where, strict=True):
        if mask.any():
            rows, columns = _square(mask)
            crops.append(F.interpolate(frame[None, :, rows, columns], (_CROP, _CROP), mode="bilinear", antialias=True))
    return torch.cat(crops) if crops else frames.new_zeros(0, frames.shape[1], _CROP, _CROP)


def _square(mask: Tensor) -> tuple[slice, slice]:
    """Rows and columns of the square around a mask (H, W), moved into the frame where it would leave it."""
    ends = [mask.any(dim=axis).nonzero() for axis in (1, 0)]
    middles = [(int(found.min()) + int(found.max()) + 1) / 2 for found in ends]
    side = min(max(int(found.max() - found.min()) + 1 for found in ends), *mask.shape)
    starts = (
        min(max(round(middle - side / 2), 0), length - side) for middle, length in zip(middles, mask.shape, strict=True)
    )
    top, left = starts
    return slice(top, top + side), slice(left, left + side)
