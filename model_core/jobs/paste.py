"""Faces laid over the driving frames."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

from ..faces.colours import ColourMatch
from ..faces.composite import composite, face_mask
from ..finish import DecodedFrames
from ..warp.full_size import FullSize
from .faces import DrivingFace, ForwardFrames

Pasting = Literal["none", "reference", "driving"]


class OntoDriving:
    """The face alone, over the driver's in the driving frames."""

    def __init__(self, frames: ForwardFrames, face: DrivingFace, whole: FullSize, *, match: bool) -> None:
        self._frames, self._face, self._whole = frames, face, whole
        self._match = ColourMatch() if match else None
        self._starts = [scene.start for scene in face.scenes]

    @property
    def colours(self) -> np.ndarray | None:
        return None if self._match is None else self._match.moments

    @colours.setter
    def colours(self, moments: np.ndarray | None) -> None:
        if self._match is not None:
            self._match.moments = moments

    def finish(self, decoded: DecodedFrames) -> Iterator[np.ndarray]:
        assert decoded.landmarks is not None
        start, stop = decoded.start, decoded.start + len(decoded.landmarks)
        pictures = self._whole.frames(decoded.landmarks, decoded.generated, carried=decoded.carried)
        marks = self._whole.landmarks(decoded.landmarks)
        driving = self._frames.read(start, stop)
        for number, picture, points, frame in zip(range(start, stop), pictures, marks, driving, strict=True):
            scene = self._face.scenes[int(np.searchsorted(self._starts, number, side="right")) - 1]
            if number == scene.start:
                self.colours = None  # other light
            mask = face_mask(points, self._whole.size) * self._face.presence[number]
            yield composite(frame, picture, mask, self._whole.place.after(scene.place), colours=self._match)
