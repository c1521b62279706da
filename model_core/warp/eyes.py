"""The eyeballs: a layer of their own behind the lids, so that an iris moves whole and lids close over it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..motion.alignment import face_size
from ..motion.components import CORNERS, LEFT_IRIS_CENTRE, RIGHT_IRIS_CENTRE, RINGS
from ..types import Component
from .patch import Patch, cut_patch, fill_polygon

_IRIS = {
    Component.LEFT_EYE: (LEFT_IRIS_CENTRE, RINGS[Component.LEFT_IRIS]),
    Component.RIGHT_EYE: (RIGHT_IRIS_CENTRE, RINGS[Component.RIGHT_IRIS]),
}
_MARGIN = 0.15  # face sizes around the eye that are kept of the picture
_WHOLE, _FADE = 1.1, 1.3  # iris radii: how far the iris moves whole, and over how many more the white follows less


@dataclass(frozen=True)
class Eyeball:
    """One eye of the portrait.

    Attributes:
        eye: which.
        patch: what is seen between its lids, continued beyond them.
        landmarks: (478, 2), of the portrait.
    """

    eye: Component
    patch: Patch
    landmarks: np.ndarray

    @classmethod
    def of(cls, image: np.ndarray, landmarks: np.ndarray, eye: Component) -> Eyeball | None:
        """None where the eye lies outside the picture or is shut: then there is nothing to show."""
        patch = cut_patch(image, landmarks[RINGS[eye], :2], margin=_MARGIN * face_size(landmarks))
        return None if patch is None else cls(eye, patch, landmarks[:, :2])

    def paint(self, frame: np.ndarray, validity: np.ndarray, target: np.ndarray) -> None:
        """Draw the eyeball between the lids of ``target`` (478, 2), in place."""
        box = fill_polygon(frame.shape, target[RINGS[self.eye], :2])
        if box is None:
            return
        x, y = box.places()
        source_x, source_y = self._to_own(x, y, target)
        self.patch.paint(frame, validity, box, source_x, source_y)

    def _to_own(self, x: np.ndarray, y: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where pixels of the frame lie in the portrait: by the corners, and by the iris where it is."""
        to_own = _corner_map(target, self.landmarks, self.eye)
        centre, ring = _IRIS[self.eye]
        iris = target[centre, :2]
        radius = max(float(np.linalg.norm(target[ring, :2] - iris, axis=1).mean()), 1e-3)
        shift = self.landmarks[centre] - (to_own[:, :2] @ iris + to_own[:, 2])
        near = np.clip(1 - (np.hypot(x - iris[0], y - iris[1]) - _WHOLE * radius) / (_FADE * radius), 0, 1)
        near = near * near * (3 - 2 * near)
        own = [row[0] * x + row[1] * y + row[2] + near * way for row, way in zip(to_own, shift, strict=True)]
        return own[0], own[1]


def _corner_map(target: np.ndarray, own: np.ndarray, eye: Component) -> np.ndarray:
    """The similarity (2, 3) that takes an eye's corners in the frame to those in the portrait."""
    first, last = CORNERS[eye]
    here = complex(*(target[last, :2] - target[first, :2]))
    there = complex(*(own[last] - own[first]))
    turn = there / here if abs(here) > 1e-6 else 1.0
    linear = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    middle, middle_own = (points[[first, last], :2].mean(axis=0) for points in (target, own))
    return np.concatenate([linear, (middle_own - linear @ middle)[:, None]], axis=1)
