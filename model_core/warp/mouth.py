"""The inner mouth: teeth stay on skull and jaw while the lips move over them; the rest is a dark cavity.

Where it is dark between the teeth, the mouth is cut in two: the upper part moves with the skull, the lower one
with the jaw, and between them the cavity opens. A mouth without such a gap, a smile, shows upper teeth only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ..motion.alignment import face_size
from ..motion.components import INNER_MOUTH_RINGS, OUTER_MOUTH, RINGS
from ..motion.head import SKULL
from ..types import Component
from .patch import Box, Patch, blend, cut_patch, fill_polygon

_UPPER, _LOWER = (np.array(ring) for ring in INNER_MOUTH_RINGS)
_OUTLINE = RINGS[Component.INNER_MOUTH]
_LIPS = np.unique([*RINGS[Component.UPPER_LIP], *RINGS[Component.LOWER_LIP]])
_CHIN = np.array([152, 148, 377, 175, 199])
_SHUT = 0.015  # face sizes: up to that a mouth shows nothing, from twice that on all
_OPEN = 0.07  # face sizes: a portrait's mouth less open than that shows no teeth
_MARGIN = 0.15  # face sizes around the opening that are kept of the picture
_GRID = (24, 15)  # where a mouth's brightness is measured, from lip to lip and from corner to corner
_DARK = 0.55  # of the brightest row between the lips: darker than that is the gap between the teeth
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

    def paint(self, frame: np.ndarray, validity: np.ndarray, target: np.ndarray) -> None:
        """Draw what is between the lips of ``target`` (478, 3), in place."""
        box = fill_polygon(frame.shape, target[_OUTLINE, :2])
        if box is None:
            return
        gap = np.linalg.norm(target[_LOWER, :2] - target[_UPPER, :2], axis=1).max()
        box.cover[:] *= np.clip(gap / (_SHUT * face_size(target)) - 1, 0, 1)
        self._paint_cavity(frame, validity, box, target)
        if self.patch is not None:
            x, y = box.places()
            for at_x, at_y, shown in self._to_own(x, y, target):
                self.patch.paint(frame, validity, replace(box, cover=box.cover * shown), at_x, at_y)

    def _paint_cavity(self, frame: np.ndarray, validity: np.ndarray, box: Box, target: np.ndarray) -> None:
        depth = cv2.distanceTransform((box.cover > 0.5).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_3)
        light = 1.0 + 0.5 * np.exp(-depth / max(0.06 * face_size(target), 1.0))  # lighter where lips are near
        colour = (self.cavity * light[..., None]).clip(0, 255)
        blend(frame[box.part], colour.astype(np.float32), box.cover)
        blend(validity[box.part], np.zeros_like(box.cover), box.cover)

    def _to_own(self, x: np.ndarray, y: np.ndarray, target: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
        """Where pixels of the frame lie in the portrait, and how much they show: by the jaw, then by the skull."""
        skull = _rigid_map(target[SKULL, :2], self.landmarks[SKULL, :2])
        dropped = self.landmarks[_CHIN, :2].mean(axis=0) - _apply(skull, target[_CHIN, :2].mean(axis=0))
        edge = max(_EDGE * face_size(self.landmarks), 0.7)
        still_x, still_y = (row[0] * x + row[1] * y + row[2] for row in skull)
        if self.seam < 1:
            moved_x, moved_y = still_x + dropped[0], still_y + dropped[1]
            below = moved_y - _between_lips(self.landmarks, moved_x, self.seam)
            yield moved_x, moved_y, np.clip(below / edge + 0.5, 0, 1).astype(np.float32)
        above = _between_lips(self.landmarks, still_x, self.seam) - still_y
        yield still_x, still_y, np.clip(above / edge + 0.5 * (self.seam < 1), 0, 1).astype(np.float32)


def _between_lips(face: np.ndarray, x: np.ndarray, share: float) -> np.ndarray:
    """y at some x, a share of the way from the upper lip (0) to the lower one (1) of a face (478, 3)."""
    columns = (face[_UPPER, 0] + face[_LOWER, 0]) / 2
    order = np.argsort(columns)
    line = face[_UPPER, 1] + share * (face[_LOWER, 1] - face[_UPPER, 1])
    return np.interp(x, columns[order], line[order])


def _seam(image: np.ndarray, landmarks: np.ndarray) -> float:
    """The middle of what is dark between the lips; 1 where nothing is."""
    rows, columns = _GRID
    left, right = sorted(landmarks[_UPPER[[0, -1]], 0].tolist())
    x = np.linspace(left + 0.25 * (right - left), left + 0.75 * (right - left), columns)
    shares = np.linspace(0.1, 0.9, rows)
    y = np.stack([_between_lips(landmarks, x, share) for share in shares])
    grid = np.broadcast_to(x, y.shape)
    seen = cv2.remap(image, (grid - 0.5).astype(np.float32), (y - 0.5).astype(np.float32), cv2.INTER_LINEAR)
    brightness = np.median(seen.astype(np.float64).mean(axis=2), axis=1)
    edges = np.flatnonzero(np.diff([0, *(brightness < _DARK * brightness.max()), 0])).reshape(-1, 2)
    if not len(edges):
        return 1.0
    start, stop = max(edges.tolist(), key=lambda run: run[1] - run[0])
    return float(shares[start:stop].mean())


def _lip_colour(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    outline = np.clip(landmarks[OUTER_MOUTH, :2], -(2**14), 2**14)
    cv2.fillPoly(mask, [np.rint(outline * 16).astype(np.int32)], (255,), cv2.LINE_8, 4)
    if not mask.any():
        return np.full(3, 120.0)
    return np.median(image[mask > 0], axis=0).astype(np.float64)


def _rigid_map(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The affine map (2, 3) that takes points (N, 2) closest to others."""
    joined = np.concatenate([source, np.ones((len(source), 1))], axis=1)
    return np.linalg.lstsq(joined, target, rcond=None)[0].T


def _apply(affine: np.ndarray, point: np.ndarray) -> np.ndarray:
    return affine[:, :2] @ point + affine[:, 2]
