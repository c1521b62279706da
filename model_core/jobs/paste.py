"""What becomes of a chunk: frames of the model's size, of the portrait's, or faces laid over the driving frames."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, Protocol

import numpy as np

from ..faces.colours import ColourMatch
from ..faces.composite import composite, face_mask
from ..warp import PortraitLayers
from ..warp.full_size import FullSize
from .faces import DrivingFace, ForwardFrames

Pasting = Literal["none", "reference", "driving"]


class Finisher(Protocol):
    """Makes the frames of the video.

    Attributes:
        colours: (4, 3), what the running colour correction has learnt; None where there is none.
    """

    colours: np.ndarray | None

    def finish(self, start: int, landmarks: np.ndarray, generated: np.ndarray | None) -> Iterator[np.ndarray]:
        """Frames (H, W, 3) uint8 from number ``start`` on.

        Args:
            landmarks: (n, 478, 3), where the face goes, in pixels of the model's frame.
            generated: (n, h, w, 3) uint8, the network's frames; None is the carried portrait alone.
        """
        ...


class AtModelSize:
    """The model's frames as they are."""

    colours: np.ndarray | None = None

    def __init__(self, framed: PortraitLayers) -> None:
        self._framed = framed

    def finish(self, start: int, landmarks: np.ndarray, generated: np.ndarray | None) -> Iterator[np.ndarray]:
        if generated is not None:
            yield from generated
        else:
            yield from (self._framed.carry(face[None]).frames[0] for face in landmarks)


class AtPortraitSize:
    """The whole portrait, at its own size or another."""

    colours: np.ndarray | None = None

    def __init__(self, whole: FullSize) -> None:
        self._whole = whole

    def finish(self, start: int, landmarks: np.ndarray, generated: np.ndarray | None) -> Iterator[np.ndarray]:
        return self._whole.frames(landmarks, generated)


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

    def finish(self, start: int, landmarks: np.ndarray, generated: np.ndarray | None) -> Iterator[np.ndarray]:
        stop = start + len(landmarks)
        pictures = self._whole.frames(landmarks, generated)
        marks = self._whole.landmarks(landmarks)
        driving = self._frames.read(start, stop)
        for number, picture, points, frame in zip(range(start, stop), pictures, marks, driving, strict=True):
            scene = self._face.scenes[int(np.searchsorted(self._starts, number, side="right")) - 1]
            if number == scene.start:
                self.colours = None  # other light
            mask = face_mask(points, self._whole.size) * self._face.presence[number]
            yield composite(frame, picture, mask, self._whole.place.after(scene.place), colours=self._match)
