"""The eyeballs: a layer of their own behind the lids, so that an iris moves whole and lids close over it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..motion.alignment import face_size
from ..motion.components import CORNERS, LEFT_IRIS_CENTRE, RIGHT_IRIS_CENTRE, RINGS
from ..types import Component
from .patch import Canvas, Patch, cut_patch, fill_polygons, on

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

    def paint(self, canvas: Canvas, targets: np.ndarray) -> None:
        """Draw the eyeball between the lids of ``targets`` (F, 478, 2), in place."""
        box = fill_polygons(canvas.frames.shape, targets[:, RINGS[self.eye], :2], canvas.by.device)
        if box is not None:
            self.patch.paint(canvas, box, *self._to_own(*box.places(), targets))

    def _to_own(self, x: Tensor, y: Tensor, targets: np.ndarray) -> tuple[Tensor, Tensor]:
        """Where pixels of the frames lie in the portrait: by the corners, and by the iris where it is."""
        to_own = _corner_maps(targets, self.landmarks, self.eye)
        centre, ring = _IRIS[self.eye]
        iris = targets[:, centre, :2]
        radius = np.linalg.norm(targets[:, ring, :2] - iris[:, None], axis=-1).mean(axis=-1).clip(min=1e-3)
        shift = self.landmarks[centre] - np.einsum("fij,fj->fi", to_own[..., :2], iris) - to_own[..., 2]
        rows = np.concatenate([to_own.reshape(-1, 6), shift, iris, radius[:, None]], axis=1)
        a, b, c, d, e, f, way_x, way_y, iris_x, iris_y, size = on(rows, x.device).T[..., None, None]
        near = (1 - (torch.hypot(x - iris_x, y - iris_y) - _WHOLE * size) / (_FADE * size)).clamp(0, 1)
        near = near * near * (3 - 2 * near)
        return a * x + b * y + c + near * way_x, d * x + e * y + f + near * way_y


def _corner_maps(targets: np.ndarray, own: np.ndarray, eye: Component) -> np.ndarray:
    """The similarities (F, 2, 3) that take an eye's corners in the frames to those in the portrait."""
    first, last = CORNERS[eye]
    here = (targets[:, last, :2] - targets[:, first, :2]) @ (1, 1j)
    there = (own[last] - own[first]) @ (1, 1j)
    turn = np.divide(there, here, out=np.ones_like(here), where=np.abs(here) > 1e-6)
    linear = np.stack([turn.real, -turn.imag, turn.imag, turn.real], axis=-1).reshape(-1, 2, 2)
    middles = targets[:, [first, last], :2].mean(axis=1)
    shift = own[[first, last], :2].mean(axis=0) - np.einsum("fij,fj->fi", linear, middles)
    return np.concatenate([linear, shift[..., None]], axis=2)
