"""A portrait's layers on one device, and how they are carried there, a few frames at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..types import NUM_LANDMARKS
from .border import keep_at_border
from .head import HEAD_TRIANGLES, RING_TRIANGLES, moved_rings
from .mesh import MeshFlows, mesh_flows
from .patch import Canvas, on
from .resampling import Resampler

if TYPE_CHECKING:
    from .portrait import PortraitLayers

_UNSEEN, _SEEN = 0.12, 0.5
"""Stretch up to which a pixel shows nothing of the portrait, and from which on all of it."""


class CarriedFrames(NamedTuple):
    """The portrait in some frames, on the device that carried it.

    Attributes:
        frames: (F, H, W, 3) uint8.
        validity: (F, H, W) float32, as in ``portrait.Carried``.
    """

    frames: Tensor
    validity: Tensor

    def take(self, part: slice) -> CarriedFrames:
        return CarriedFrames(self.frames[part], self.validity[part])


class Carrier:
    """Draws the triangles of every frame with OpenCV; all that follows is done for several frames in one call.

    Attributes:
        layers: the portrait.
        device: where its pixels lie.
        by: what samples them there.
    """

    def __init__(self, layers: PortraitLayers, by: Resampler) -> None:
        self.layers, self.device, self.by = layers, by.device, by
        planes = (layers.image, layers.person, layers.plate, layers.plate_known)
        self._image, self._person, self._plate, self._plate_known = (on(plane, self.device) for plane in planes)

    @property
    def frames_at_once(self) -> int:
        return self.by.frames_at_once(self._size)

    def carry(self, landmarks: np.ndarray, *, validity: bool = True) -> Iterator[tuple[Tensor, Tensor | None]]:
        """The portrait carried to landmarks (F, 478, 3) in its own pixels, ``frames_at_once`` at a time.

        Args:
            validity: whether it is asked for; None is given where it is not.
        Yields:
            frames (n, H, W, 3) uint8 and validity (n, H, W) float32, as in ``Carried``, on the device.
        """
        targets = landmarks.astype(np.float64)
        for start in range(0, len(targets), self.frames_at_once):
            meshes = moved_rings(self.layers.mesh, targets[start : start + self.frames_at_once])
            canvas = self._carry_person(self.flow(meshes), validity=validity)
            for eye in self.layers.eyes:
                eye.paint(canvas, meshes[:, :NUM_LANDMARKS, :2])
            self.layers.mouth.paint(canvas, meshes[:, :NUM_LANDMARKS])
            yield canvas.frames, canvas.validity

    def carry_all(self, landmarks: np.ndarray) -> CarriedFrames:
        """``carry`` with validity, joined: for as many frames as fit into memory."""
        frames, validity = zip(*self.carry(landmarks), strict=True)
        return CarriedFrames(torch.cat(frames), torch.cat(validity))

    def flow(self, meshes: np.ndarray) -> MeshFlows:
        """Where the frames of moved meshes (F, V, 3) lie in the portrait, on the grid."""
        step, (height, width) = self.layers.step, self._size
        grid = (int(np.ceil(height / step)), int(np.ceil(width / step)))
        rings = len(RING_TRIANGLES)
        flow = mesh_flows(
            meshes, self.layers.mesh, HEAD_TRIANGLES, size=grid, step=step, two_sided=rings, device=self.device
        )
        source = keep_at_border(flow.source, self._size, step=step, free=flow.triangle < rings)
        return MeshFlows(source, flow.stretch, flow.triangle)

    def _carry_person(self, flow: MeshFlows, *, validity: bool) -> Canvas:
        """The moved person over the plate."""
        x, y = (self._enlarge(places).sub_(0.5) for places in flow.source)
        moved = self.by.remap(self._image, x, y, smooth=True)
        person = self.by.remap(self._person, x, y, smooth=False)
        frames = self.by.over(moved, self._plate, person)
        if not validity:
            return Canvas(frames, None, self.by)
        seen = self._enlarge(((flow.stretch - _UNSEEN) / (_SEEN - _UNSEEN)).clamp_(0, 1))
        return Canvas(frames, seen.mul_(person).add_((1 - person).mul_(self._plate_known)), self.by)

    @property
    def _size(self) -> tuple[int, int]:
        return self.layers.image.shape[0], self.layers.image.shape[1]

    def _enlarge(self, grids: Tensor) -> Tensor:
        """(F, h, w) of the flow's grid at every pixel; the grid may reach beyond the frame by a part of a step."""
        if grids.shape[1:] == self._size:
            return grids.clone()
        scale = np.full(2, 1 / self.layers.step)
        return self.by.enlarge(grids, scale, scale / 2 - 0.5, self._size, smooth=False)
