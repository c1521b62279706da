"""What becomes of a finished frame: as it is, or laid over the portrait or the driving frame it belongs to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from torch import Tensor

from ..errors import InputError
from ..faces.composite import ColourMatch, Overlay, composite, face_mask, window_mask
from ..images import to_uint8
from ..motion.scenes import Scene
from ..pipeline import PortraitReference
from ..types import TrackSource
from .faces import ForwardFrames

Pasting = Literal["none", "reference", "driving"]


class Plain:
    """The model's frames as they are."""

    moments: np.ndarray | None = None

    def finish(self, start: int, pictures: np.ndarray) -> Iterator[np.ndarray]:
        """Full frames of the model's frames (n, h, w, 3) uint8 from number ``start`` on."""
        yield from pictures


class OntoReference:
    """Over the whole portrait, where the model's frame was cut out of it."""

    def __init__(self, image: Tensor, reference: PortraitReference, size: tuple[int, int], *, match: bool) -> None:
        if reference.window is None:
            raise InputError("reference: where it was cropped is not known; encode it again")
        self._base = to_uint8(image)[0]
        self._overlay = Overlay.of_window(reference.window, size)
        self._mask = window_mask(self._overlay, (self._base.shape[0], self._base.shape[1]))
        self._colours = ColourMatch() if match else None

    @property
    def moments(self) -> np.ndarray | None:
        return None if self._colours is None else self._colours.moments

    @moments.setter
    def moments(self, values: np.ndarray | None) -> None:
        if self._colours is not None:
            self._colours.moments = values

    def finish(self, start: int, pictures: np.ndarray) -> Iterator[np.ndarray]:
        for picture in pictures:
            yield composite(self._base, picture, self._mask, self._overlay, colours=self._colours)


class OntoDriving:
    """Over the driving frames: the face alone, where the driver's was."""

    def __init__(
        self,
        frames: ForwardFrames,
        track: TrackSource,
        scenes: Sequence[Scene],
        presence: np.ndarray,
        size: tuple[int, int],
        *,
        match: bool,
    ) -> None:
        self._frames, self._track, self._scenes, self._presence, self._size = frames, track, scenes, presence, size
        self._colours = ColourMatch() if match else None
        self._starts = [scene.start for scene in scenes]

    @property
    def moments(self) -> np.ndarray | None:
        return None if self._colours is None else self._colours.moments

    @moments.setter
    def moments(self, values: np.ndarray | None) -> None:
        if self._colours is not None:
            self._colours.moments = values

    def finish(self, start: int, pictures: np.ndarray) -> Iterator[np.ndarray]:
        track = self._track.take(range(start, start + len(pictures)))
        frames = self._frames.read(start, start + len(pictures))
        for number, (picture, frame) in enumerate(zip(pictures, frames, strict=True)):
            scene = self._scenes[int(np.searchsorted(self._starts, start + number, side="right")) - 1]
            if start + number == scene.start and self._colours is not None:
                self._colours.moments = None  # other light
            place = scene.place
            scale = float(place.scale)
            x, y = (place.target - place.source * scale)[:2].tolist()
            overlay = Overlay((scale, scale), (x, y), self._size)
            mask = face_mask(place.points(track.landmarks[number]), self._size) * self._presence[start + number]
            yield composite(frame, picture, mask, overlay, colours=self._colours)
