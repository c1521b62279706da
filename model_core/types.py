"""The shared vocabulary: small frozen dataclasses that travel between the rooms.

Shapes use these letters: F frames, C latent channels, H W image size, h w latent size
(``h = H // stride``), L landmarks. Images are float in [-1, 1], motion signals in [0, 1].
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal, Protocol

import numpy as np
from torch import Tensor

NUM_LANDMARKS = 478
"""468 face-mesh points followed by 2 x 5 iris points, MediaPipe's topology."""

MotionKind = Literal["parsing_map", "masked_frames", "drawn_landmarks", "split_landmarks"]
PredictionType = Literal["epsilon", "v_prediction", "sample", "flow"]


class Branch(enum.Enum):
    """The four conditional predictions that signal fusion combines (Stable Video-Driven Portraits)."""

    UNCONDITIONAL = "u"
    REFERENCE = "s"
    DRIVING = "d"
    FULL = "p"


class Component(enum.IntEnum):
    """Labels of a component map. Left and right are the person's own."""

    BACKGROUND = 0
    LEFT_BROW = 1
    RIGHT_BROW = 2
    LEFT_EYE = 3
    RIGHT_EYE = 4
    LEFT_IRIS = 5
    RIGHT_IRIS = 6
    NOSE = 7
    UPPER_LIP = 8
    LOWER_LIP = 9
    INNER_MOUTH = 10
    FACE = 11


class PersonPart(enum.IntEnum):
    """Further labels of a component map, around the face: only an analyser that parses pixels gives them.

    Skin is that of neck and ears, with what they wear.
    """

    HAIR = 12
    SKIN = 13
    CLOTHES = 14
    HAT = 15


PALETTE: Mapping[Component, tuple[int, int, int]] = MappingProxyType(
    {
        Component.LEFT_BROW: (255, 128, 0),
        Component.RIGHT_BROW: (255, 255, 0),
        Component.LEFT_EYE: (0, 96, 255),
        Component.RIGHT_EYE: (0, 160, 176),
        Component.LEFT_IRIS: (255, 0, 255),
        Component.RIGHT_IRIS: (255, 255, 255),
        Component.NOSE: (0, 176, 0),
        Component.UPPER_LIP: (255, 0, 0),
        Component.LOWER_LIP: (255, 112, 160),
        Component.INNER_MOUTH: (112, 0, 255),
    }
)
"""RGB of each component in a parsing map. A trained model reads motion by these colours: never change them."""


@dataclass(frozen=True)
class LatentSpec:
    """Layout of the latents: ``(batch, frames, channels, H // stride, W // stride)``.

    ``width`` is how many numbers the network holds at a latent position where it holds most, for estimates of memory.
    """

    channels: int
    stride: int
    width: int = 0


EDIT_COLUMNS = 51 + 6
"""Of ``FaceTrack.edits``: expression coefficients, then the head's turn (3), way (2) and nearness."""


@dataclass(frozen=True)
class FaceTrack:
    """One face followed through a clip.

    Attributes:
        boxes: (F, 4) float32, x0 y0 x1 y1 in pixels.
        landmarks: (F, 478, 3) float32; x, y in pixels of the frame, z in the same unit, towards the viewer < 0.
        confidence: (F,) float32 in [0, 1]; 0 where the frame was filled in.
        detected: (F,) bool; False where the frame was filled in.
        size: (H, W) of the frames in pixels.
        label_maps: (F, H, W) uint8 of ``Component`` and ``PersonPart``, or None when they are drawn from the landmarks
            on demand.
        blendshapes: (F, 51) float32 in [0, 1], expression coefficients in the order of ``faces/blendshapes.py``; None
            where the analyser reads none, or not in every frame that shows the face.
        poses: (F, 3) float32, how the head is turned as the analyser reads it, rotation vectors in radians; see
            ``FaceDetection.pose``. None where it does not say, or not in every frame that shows the face.
        readings: of a portrait, (31, 54) float32: what the analyser reads on it carried to some basic expressions, 51
            coefficients and the pose (``motion/response.py``); None where it was not asked.
        edits: (F, 57) float32, what is set by hand on top of what the face does (``motion/editing.py``); None nothing.
    """

    boxes: np.ndarray
    landmarks: np.ndarray
    confidence: np.ndarray
    detected: np.ndarray
    size: tuple[int, int]
    label_maps: np.ndarray | None = None
    blendshapes: np.ndarray | None = None
    poses: np.ndarray | None = None
    readings: np.ndarray | None = None
    edits: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.landmarks)

    def with_edits(self, edits: np.ndarray | None) -> FaceTrack:
        """The same track with other edits, (F, 57)."""
        return replace(self, edits=edits)

    def take(self, frames: Sequence[int]) -> FaceTrack:
        """The same track at some frames only, in the order given."""
        index = np.asarray(frames, dtype=np.int64)

        def at(values: np.ndarray | None) -> np.ndarray | None:
            return None if values is None else values[index]

        return replace(
            self,
            boxes=self.boxes[index],
            landmarks=self.landmarks[index],
            confidence=self.confidence[index],
            detected=self.detected[index],
            label_maps=at(self.label_maps),
            blendshapes=at(self.blendshapes),
            poses=at(self.poses),
            edits=at(self.edits),
        )


class TrackSource(Protocol):
    """A ``FaceTrack``, or what reads one when its frames are asked for."""

    def __len__(self) -> int: ...

    def take(self, frames: range) -> FaceTrack: ...


@dataclass(frozen=True)
class MotionSignal:
    """What moves, as pictures: parsing maps, masked frames or drawn landmarks.

    Attributes:
        kind: which of the motion signals this is; a model accepts one kind.
        frames: (F, 3, H, W) float32 in [0, 1], black where nothing is said; a kind of several pictures has three
            channels for each of them.
        landmarks: (F, 478, 3) float32, what it was drawn from, in pixels of these pictures, which are the portrait's
            as the model sees it: the portrait is carried to them. None where they are not known.
    """

    kind: MotionKind
    frames: Tensor
    landmarks: np.ndarray | None = None

    def __len__(self) -> int:
        return self.frames.shape[0]

    def take(self, frames: Sequence[int]) -> MotionSignal:
        landmarks = None if self.landmarks is None else self.landmarks[list(frames)]
        return replace(self, frames=self.frames[list(frames)], landmarks=landmarks)


class MotionSource(Protocol):
    """A clip's motion: a ``MotionSignal``, or what draws one when its frames are asked for."""

    def __len__(self) -> int: ...

    def take(self, frames: Sequence[int]) -> MotionSignal: ...


@dataclass(frozen=True)
class ReferenceInputs:
    """Everything a backbone may use of the one portrait image.

    Attributes:
        image: (1, 3, H, W) in [-1, 1].
        latents: (1, C, h, w), the image through the model's autoencoder.
        foreground: (1, 1, H, W) in [0, 1], 1 on the person; None means that all of it is foreground.
        motion: (1, 3, H, W) in [0, 1], the portrait's own motion signal, for models that use it; else None.
    """

    image: Tensor
    latents: Tensor
    foreground: Tensor | None = None
    motion: Tensor | None = None


@dataclass(frozen=True)
class Baseline:
    """The portrait carried to every frame by its own face mesh: what a backbone predicts relative to.

    Attributes:
        latents: (F, C, h, w).
        validity: (F, 1, H, W) in [0, 1], at image size: how much of each pixel the portrait really shows.
    """

    latents: Tensor
    validity: Tensor

    def __len__(self) -> int:
        return self.latents.shape[0]

    def take(self, frames: Sequence[int]) -> Baseline:
        """The same at some frames only, in the order given."""
        chosen = list(frames)
        return Baseline(self.latents[chosen], self.validity[chosen])

    def to(self, *args: Any, **kwargs: Any) -> Baseline:
        """Both tensors through ``Tensor.to``."""
        return Baseline(self.latents.to(*args, **kwargs), self.validity.to(*args, **kwargs))


@dataclass(frozen=True)
class HistoryFrames:
    """Finished frames that precede the frames to make: attended to, never denoised, never blended.

    Attributes:
        latents: (N, C, h, w) clean latents, oldest first.
        motion: (N, 3, H, W) in [0, 1], their motion signal.
    """

    latents: Tensor
    motion: Tensor

    def __len__(self) -> int:
        return self.latents.shape[0]


@dataclass(frozen=True)
class StepEvent:
    """What a StepObserver is told.

    Attributes:
        step, steps: the current step (from 0) and their number.
        window, windows: windows done in this step (1..windows) and their number.
        step_done: True once per step, after the scheduler's own step.
        latents: (1, F, C, h, w), the current estimate of the clean latents after a step, else the noisy ones.
    """

    step: int
    steps: int
    window: int
    windows: int
    step_done: bool
    latents: Tensor


StepObserver = Callable[[StepEvent], None]
"""Told after every window and every step; cancels by raising."""
