"""The inner mouth: teeth that the portrait shows stay on skull and jaw while the lips move; the rest is a dark cavity."""

from __future__ import annotations

from dataclasses import dataclass

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
_OPEN = 0.05  # face sizes: a mouth less open than that shows no teeth
_MARGIN = 0.15  # face sizes around the opening that are kept of the picture
_DARK = np.array([0.34, 0.24, 0.24])
"""Colour of the cavity as a share of the lips'."""


@dataclass(frozen=True)
class InnerMouth:
    """The portrait's mouth from lip to lip.

    Attributes:
        patch: what is seen between the lips, continued beyond them; None of a closed mouth.
        landmarks: (478, 3), of the portrait.
        cavity: (3,) float, the colour where nothing is known.
    """

    patch: Patch | None
    landmarks: np.ndarray
    cavity: np.ndarray

    @classmethod
    def of(cls, image: np.ndarray, landmarks: np.ndarray) -> InnerMouth:
        size = face_size(landmarks)
        opening = np.linalg.norm(landmarks[_LOWER] - landmarks[_UPPER], axis=1).max()
        patch = cut_patch(image, landmarks[_OUTLINE, :2], margin=_MARGIN * size) if opening > _OPEN * size else None
        return cls(patch, landmarks, _lip_colour(image, landmarks) * _DARK)

    def paint(self, frame: np.ndarray, validity: np.ndarray, target: np.ndarray) -> None:
        """Draw what is between the lips of ``target`` (478, 3), in place."""
        box = fill_polygon(frame.shape, target[_OUTLINE, :2])
        if box is None:
            return
        gap = np.linalg.norm(target[_LOWER, :2] - target[_UPPER, :2], axis=1).max()
        box.cover[:] *= np.clip(gap / (0.02 * face_size(target)) - 0.5, 0, 1)  # lips that touch hide it
        self._paint_cavity(frame, validity, box, target)
        if self.patch is not None:
            x, y = box.places()
            at_x, at_y = self._to_own(x, y, target)
            self.patch.paint(frame, validity, box, at_x, at_y)

    def _paint_cavity(self, frame: np.ndarray, validity: np.ndarray, box: Box, target: np.ndarray) -> None:
        depth = cv2.distanceTransform((box.cover > 0.5).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_3)
        light = 1.0 + 0.5 * np.exp(-depth / max(0.06 * face_size(target), 1.0))  # lighter where lips are near
        colour = (self.cavity * light[..., None]).clip(0, 255)
        blend(frame[box.part], colour.astype(np.float32), box.cover)
        blend(validity[box.part], np.zeros_like(box.cover), box.cover)

    def _to_own(self, x: np.ndarray, y: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where pixels of the frame lie in the portrait: upper teeth by the skull, lower ones by the jaw."""
        skull = _rigid_map(target[SKULL, :2], self.landmarks[SKULL, :2])
        dropped = self.landmarks[_CHIN, :2].mean(axis=0) - _apply(skull, target[_CHIN, :2].mean(axis=0))
        top, bottom = target[_UPPER, 1], target[_LOWER, 1]
        columns = target[_UPPER, 0]
        order = np.argsort(columns)
        upper, lower = (np.interp(x, columns[order], line[order]) for line in (top, bottom))
        share = np.clip((y - upper) / np.maximum(lower - upper, 1.0), 0, 1)
        share = share * share * (3 - 2 * share)
        own = [row[0] * x + row[1] * y + row[2] + share * way for row, way in zip(skull, dropped, strict=True)]
        return own[0], own[1]


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
