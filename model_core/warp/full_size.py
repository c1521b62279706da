"""Results at the portrait's own size: the carried portrait, sharp, with the network's change on top.

A network draws a small frame around the face. What it changed of the small carried portrait is enlarged and added to
the large carried one; only where the portrait shows nothing does the network's own, softer picture stand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import cv2
import numpy as np
import torch
from torch import Tensor

from ..bounds import Bounds
from ..errors import InputError
from ..geometry import Placement, soft_ends
from .carrier import CarriedFrames, Carrier
from .patch import on
from .portrait import PortraitLayers

LONGEST = 2048
"""The long side beyond which a result of the portrait's own size is scaled down."""

_SHORTEST = 64

OutputSize = Literal["model", "portrait"] | Annotated[int, Bounds(_SHORTEST, 2 * LONGEST)]
"""Of a result: the model's frame, the whole portrait's own size, or the portrait with a long side of that length."""

_NOISE = 7.0  # of 255: a change of this size is halved where the portrait is valid
_EDGE = 0.06  # shares of the window over which the network's change fades out towards its border


def output_size(portrait: tuple[int, int], wanted: OutputSize) -> tuple[int, int]:
    """(H, W) of a result.

    Args:
        portrait: (H, W) of the image.
        wanted: "portrait" keeps its size up to ``LONGEST``; a number is the long side.
    Raises:
        InputError: a number that no video can have.
    """
    longest = max(portrait)
    if wanted == "portrait" and longest <= LONGEST:
        return portrait  # pixel for pixel
    if wanted == "portrait":
        side = LONGEST
    elif isinstance(wanted, int) and _SHORTEST <= wanted <= 2 * LONGEST:
        side = wanted
    else:
        raise InputError(f"size: is {wanted!r}; choose model, portrait, or a long side of {_SHORTEST} to {2 * LONGEST}")
    height, width = (max(2 * round(length * side / longest / 2), 2) for length in portrait)
    return height, width


@dataclass(frozen=True)
class FullSize:
    """A portrait at the size of the result, and where the model's frame lies in it.

    Attributes:
        carrier: the portrait, scaled, on the device that carries it.
        framed: what the model saw of it, which its change is relative to, on the same device.
        scale, offset: (2,) from pixels of the model's frame to those of the result: ``p * scale + offset``.
    """

    carrier: Carrier
    framed: Carrier
    scale: np.ndarray
    offset: np.ndarray

    @classmethod
    def of(
        cls,
        image: np.ndarray,
        landmarks: np.ndarray,
        person: np.ndarray,
        *,
        window: tuple[int, int, int, int],
        framed: PortraitLayers,
        size: tuple[int, int],
        device: torch.device | str = "cpu",
    ) -> FullSize:
        """Scale a portrait.

        Args:
            image: (H, W, 3) uint8, with its face's landmarks (478, 3) and person (H, W) in [0, 1].
            window: (left, top, width, height) in pixels of the image: what ``framed`` shows.
            size: (H, W) of the result.
            device: where it is carried.
        """
        ratio = np.array([size[1] / image.shape[1], size[0] / image.shape[0]])
        scaled = landmarks.astype(np.float64) * np.array([*ratio, ratio[0]])
        if size != image.shape[:2]:
            how = cv2.INTER_AREA if ratio[0] < 1 else cv2.INTER_CUBIC
            image = cv2.resize(image, size[::-1], interpolation=how)
            person = cv2.resize(person, size[::-1], interpolation=cv2.INTER_LINEAR)
        left, top, width, height = window
        small = framed.image.shape
        scale = ratio * np.array([width / small[1], height / small[0]])
        layers = PortraitLayers.of(image, scaled, person)
        return cls(layers.on(device), framed.on(device), scale, ratio * np.array([left, top]))

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the result."""
        return self.layers.image.shape[0], self.layers.image.shape[1]

    @property
    def layers(self) -> PortraitLayers:
        return self.carrier.layers

    @property
    def place(self) -> Placement:
        """From the model's frame to the result."""
        scale, offset = np.array([*self.scale, self.scale[0]]), np.array([*self.offset, 0.0])
        return Placement(scale, np.zeros(3), offset, self.size)

    def landmarks(self, framed: np.ndarray) -> np.ndarray:
        """Landmarks (..., 3) of the model's frame in pixels of the result."""
        return self.place.points(framed)

    def frames(
        self, landmarks: np.ndarray, generated: np.ndarray | None, *, carried: CarriedFrames | None = None
    ) -> Iterator[np.ndarray]:
        """Frames of the result, (H, W, 3) uint8, one at a time.

        Args:
            landmarks: (n, 478, 3), where the face goes, in pixels of the model's frame.
            generated: (n, h, w, 3) uint8, the network's frames; None is the carried portrait alone.
            carried: what ``framed`` is in these frames, where that is at hand already.
        """
        for start in range(0, len(landmarks), self.carrier.frames_at_once):
            part = slice(start, start + self.carrier.frames_at_once)
            drawn = None if generated is None else generated[part]
            small = None if carried is None else carried.take(part)
            yield from self._batch(landmarks[part].astype(np.float64), drawn, small).cpu().numpy()

    def _batch(self, landmarks: np.ndarray, generated: np.ndarray | None, carried: CarriedFrames | None) -> Tensor:
        """A few frames (n, H, W, 3) uint8 on the device."""
        targets = self.landmarks(landmarks)
        if generated is None:
            return torch.cat([frames for frames, _ in self.carrier.carry(targets, validity=False)])
        frames, validity = self.carrier.carry_all(targets)
        small, shown = carried or self.framed.carry_all(landmarks)
        drawn = on(np.ascontiguousarray(generated), self.carrier.device).float()
        change = _without_noise(drawn - small, shown)
        self._add_change(frames, validity, change, small)
        return frames

    def _add_change(self, frames: Tensor, validity: Tensor, change: Tensor, small: Tensor) -> None:
        """Add what the network changed of the small carried frames, in place."""
        part, scale, offset = self._window()
        if part is None:
            return
        rows, columns = part
        size = (rows.stop - rows.start, columns.stop - columns.start)
        by = self.carrier.by
        change = by.enlarge(change, scale, offset, size, smooth=True)
        soft = by.enlarge(small.float(), scale, offset, size, smooth=True)
        faded = on(self._edge(tuple(small.shape[1:3])), self.carrier.device)
        edge = by.enlarge(faded[None], scale, offset, size, smooth=False)[..., None]
        unseen = (1 - validity[:, rows, columns, None]) * edge
        made = frames[:, rows, columns].float().lerp_(soft, unseen).addcmul_(change, edge)
        frames[:, rows, columns] = made.round_().clamp_(0, 255).to(torch.uint8)

    def _window(self) -> tuple[tuple[slice, slice] | None, np.ndarray, np.ndarray]:
        """The part of the result that the model's frame covers, and the map from its pixels to the model's."""
        height, width = self.framed.layers.image.shape[:2]
        low = np.maximum(np.floor(self.offset), 0).astype(int)
        high = np.minimum(np.ceil(self.offset + self.scale * (width, height)), self.size[::-1]).astype(int)
        offset = (low + 0.5 - self.offset) / self.scale - 0.5
        if (high - low).min() < 1:
            return None, 1 / self.scale, offset
        return (slice(low[1], high[1]), slice(low[0], high[0])), 1 / self.scale, offset

    def _edge(self, shape: tuple[int, ...]) -> np.ndarray:
        """(h, w) float32: 1, falling to 0 towards those borders of the model's frame that lie inside the result."""
        ramps = []
        for axis in (1, 0):
            length, scale, offset = shape[1 - axis], self.scale[axis], self.offset[axis]
            high = bool(offset + scale * length < self.size[1 - axis] - 0.5)
            ramps.append(soft_ends(length, low=bool(offset > 0.5), high=high, width=_EDGE * length, still=0.5))
        return (ramps[0][:, None] * ramps[1][None]).astype(np.float32)


def _without_noise(change: Tensor, validity: Tensor) -> Tensor:
    """A network's change (n, h, w, 3) without faint noise, where the portrait shows the pixel anyway.

    Enlarged, a network's faint noise would lie as a pattern over flat backgrounds and skin.
    """
    power = change.square().mean(dim=-1, keepdim=True)
    return change * (power / (power + (_NOISE * validity[..., None]).square() + 1e-6))
