"""The inner mouth: teeth stay on skull and jaw while the lips move over them; the rest is a dark cavity.

Where it is dark between the teeth, the mouth is cut in two: the upper part moves with the skull, the lower one
with the jaw, and between them the cavity opens. A mouth without such a gap, a smile, shows upper teeth only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from ..motion.alignment import face_size, face_sizes
from ..motion.components import INNER_MOUTH_RINGS, OUTER_MOUTH, RINGS
from ..motion.head import SKULL
from ..types import Component
from .patch import Box, Canvas, Patch, blend, cut_patch, fill_polygons, on

_UPPER, _LOWER = (np.array(ring) for ring in INNER_MOUTH_RINGS)
_OUTLINE = RINGS[Component.INNER_MOUTH]
_LIPS = np.unique([*RINGS[Component.UPPER_LIP], *RINGS[Component.LOWER_LIP]])
_CHIN = np.array([152, 148, 377, 175, 199])
_SHUT = 0.015  # face sizes: up to that a mouth shows nothing, from twice that on all
_OPEN = 0.07  # face sizes: a portrait's mouth less open than that shows no teeth
_MARGIN = 0.15  # face sizes around the opening that are kept of the picture
_GRID = (24, 15)  # where a mouth's brightness is measured, from lip to lip and from corner to corner
_DARK = 0.55  # of the brightest row between the lips: darker than that is the gap between the teeth
_LIP_SHADOW = (
    0.25  # of the way from lip to lip, up to which what is dark under the upper lip is its shadow on the teeth
)
_EDGE = 0.012  # face sizes over which teeth end
_CAVITY = np.array([0.34, 0.24, 0.24])
"""Colour of the cavity as a share of the lips'."""


@dataclass(frozen=True)
class InnerMouth:
    """The portrait's mouth from lip to lip.

    Attributes:
        patch: what is seen between the lips, continued beyond them; None of a closed mouth.
        landmarks: (478, 3), of the portrait.
        cavity: (3,) float, the colour where nothing is known.
        seam: where between the lips, 0 at the upper one, what moves with the skull ends and what moves with the jaw
            begins; 1 where nothing moves with the jaw.
    """

    patch: Patch | None
    landmarks: np.ndarray
    cavity: np.ndarray
    seam: float

    @classmethod
    def of(cls, image: np.ndarray, landmarks: np.ndarray) -> InnerMouth:
        size = face_size(landmarks)
        opening = np.linalg.norm(landmarks[_LOWER] - landmarks[_UPPER], axis=1).max()
        patch = cut_patch(image, landmarks[_OUTLINE, :2], margin=_MARGIN * size) if opening > _OPEN * size else None
        return cls(patch, landmarks, _lip_colour(image, landmarks) * _CAVITY, _seam(image, landmarks))

    def paint(self, canvas: Canvas, targets: np.ndarray) -> None:
        """Draw what is between the lips of ``targets`` (F, 478, 3), in place."""
        box = fill_polygons(canvas.frames.shape, targets[:, _OUTLINE, :2], canvas.by.device)
        if box is None:
            return
        gap = np.linalg.norm(targets[:, _LOWER, :2] - targets[:, _UPPER, :2], axis=-1).max(axis=-1)
        parted = np.clip(gap / (_SHUT * face_sizes(targets)) - 1, 0, 1)
        box.cover.mul_(on(parted, box.cover.device)[:, None, None])
        self._paint_cavity(canvas, box, targets)
        if self.patch is not None:
            for x, y, shown in self._to_own(*box.places(), targets):
                self.patch.paint(canvas, replace(box, cover=box.cover * shown), x, y)

    def _paint_cavity(self, canvas: Canvas, box: Box, targets: np.ndarray) -> None:
        device = box.cover.device
        inside = (box.cover > 0.5).to("cpu", torch.uint8).numpy()
        depths = np.stack([cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_3) for mask in inside])
        fade = on(np.maximum(0.06 * face_sizes(targets), 1.0), device)[:, None, None]
        light = 1.0 + 0.5 * torch.exp(-on(depths, device) / fade)  # lighter where lips are near
        blend(box.of(canvas.frames), (light[..., None] * on(self.cavity, device)).clamp(0, 255), box.cover)
        if canvas.validity is not None:
            blend(box.of(canvas.validity), torch.zeros_like(box.cover), box.cover)

    def _to_own(self, x: Tensor, y: Tensor, targets: np.ndarray) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Where pixels of the frames lie in the portrait, and how much they show: by the jaw, then by the skull."""
        skull = _rigid_maps(targets[:, SKULL, :2], self.landmarks[SKULL, :2])
        chins = np.einsum("fij,fj->fi", skull[..., :2], targets[:, _CHIN, :2].mean(axis=1)) + skull[..., 2]
        dropped = self.landmarks[_CHIN, :2].mean(axis=0) - chins
        rows = on(np.concatenate([skull.reshape(-1, 6), dropped], axis=1), x.device)
        a, b, c, d, e, f, drop_x, drop_y = rows.T[..., None, None]
        still_x, still_y = a * x + b * y + c, d * x + e * y + f
        edge = max(_EDGE * face_size(self.landmarks), 0.7)
        if self.seam < 1:
            moved_x, moved_y = still_x + drop_x, still_y + drop_y
            below = moved_y - _between_lips(self.landmarks, moved_x, self.seam)
            yield moved_x, moved_y, (below / edge + 0.5).clamp(0, 1)
        above = _between_lips(self.landmarks, still_x, self.seam) - still_y
        yield still_x, still_y, (above / edge + 0.5 * (self.seam < 1)).clamp(0, 1)


def _between_lips(face: np.ndarray, x: Tensor, share: float) -> Tensor:
    """y at some x, a share of the way from the upper lip (0) to the lower one (1) of a face (478, 3)."""
    columns = (face[_UPPER, 0] + face[_LOWER, 0]) / 2
    order = np.argsort(columns)
    line = face[_UPPER, 1] + share * (face[_LOWER, 1] - face[_UPPER, 1])
    corners, heights = on(columns[order], x.device), on(line[order], x.device)
    after = torch.bucketize(x.contiguous(), corners).clamp(1, len(order) - 1)
    low, high = corners[after - 1], corners[after]
    return torch.lerp(heights[after - 1], heights[after], ((x - low) / (high - low).clamp(min=1e-6)).clamp(0, 1))


def _seam(image: np.ndarray, landmarks: np.ndarray) -> float:
    """The middle of what is dark between the lips; 1 where nothing is."""
    rows, columns = _GRID
    left, right = sorted(landmarks[_UPPER[[0, -1]], 0].tolist())
    x = np.linspace(left + 0.25 * (right - left), left + 0.75 * (right - left), columns)
    shares = np.linspace(0.1, 0.9, rows)
    across = on(x, torch.device("cpu"))
    y = np.stack([_between_lips(landmarks, across, share).numpy() for share in shares])
    grid = np.broadcast_to(x, y.shape)
    seen = cv2.remap(image, (grid - 0.5).astype(np.float32), (y - 0.5).astype(np.float32), cv2.INTER_LINEAR)
    brightness = np.median(seen.astype(np.float64).mean(axis=2), axis=1)
    edges = np.flatnonzero(np.diff([0, *(brightness < _DARK * brightness.max()), 0])).reshape(-1, 2)
    gaps = [(start, stop) for start, stop in edges.tolist() if start > 0 or stop > _LIP_SHADOW * rows]
    if not gaps:
        return 1.0
    start, stop = max(gaps, key=lambda run: run[1] - run[0])
    return float(shares[start:stop].mean())


def _lip_colour(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    outline = np.clip(landmarks[OUTER_MOUTH, :2], -(2**14), 2**14)
    cv2.fillPoly(mask, [np.rint(outline * 16).astype(np.int32)], (255,), cv2.LINE_8, 4)
    if not mask.any():
        return np.full(3, 120.0)
    return np.median(image[mask > 0], axis=0).astype(np.float64)


def _rigid_maps(sources: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The affine maps (F, 2, 3) that take points (F, N, 2) closest to others (N, 2)."""
    joined = np.concatenate([sources, np.ones((*sources.shape[:-1], 1))], axis=-1)
    return np.swapaxes(np.linalg.pinv(joined) @ target, -1, -2)
