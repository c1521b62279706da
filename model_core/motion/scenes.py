"""Where a film is cut, and how the driving face is placed on the portrait in every scene.

Motion counts from the driver at rest. After a cut the same driver sits elsewhere, or nearer: with the first scene's
rest the portrait's face would leave its frame. So every scene has a rest of its own, its first frame where the user
names none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

import numpy as np

from ..bounds import Bounds, check_settings
from ..errors import InputError
from ..geometry import Placement
from ..types import FaceTrack, TrackSource
from ..warp.pixels import carry_pixels
from .alignment import placement, rest_frame, resting_landmarks
from .editing import ExpressionEdit, edited
from .retarget import Retargeted, Turning, retarget
from .strength import MotionStrength

Placing = Literal["retarget", "relative", "absolute"]
"""How the driving face is placed on the portrait: by landmark (``retarget``), or as a whole (``alignment``)."""

RestFrame = Annotated[int, Bounds(0, 2**31)] | Literal["frontal"]

_JUMP = 0.6
"""Sizes of the face between two frames: at 25 frames a second, a face that crosses itself 15 times a second."""
_RESIZE = 1.4


@dataclass(frozen=True, kw_only=True)
class MotionSettings:
    """How the driver's motion is placed on the portrait.

    Attributes:
        placing: see ``Placing``.
        strength: how much of it arrives, by region; only ``retarget`` can tell regions apart.
        turning: see ``retarget.retarget``.
        rest_frame: the frame in which the driver is taken to look as the portrait does, counted from the beginning of
            each scene; "frontal" takes each scene's most frontal and neutral one.
        edit: what is set by hand on top of it, in every frame; only ``retarget`` can add it.

    Raises:
        InputError: an edit, and another placing.
    """

    placing: Placing = "retarget"
    strength: MotionStrength = field(default_factory=MotionStrength)
    turning: Turning = "relative"
    rest_frame: RestFrame = 0
    edit: ExpressionEdit = field(default_factory=ExpressionEdit)

    def __post_init__(self) -> None:
        check_settings(self)
        if self.edit != ExpressionEdit() and self.placing != "retarget":
            raise InputError(f"edit: placing {self.placing} moves the face as a whole; choose retarget, or no edit")


@dataclass(frozen=True)
class Scene:
    """Frames from ``start`` on, up to the next scene's.

    Attributes:
        start: number of its first frame.
        place: where its frames lie in the portrait's image, face on face as a whole.
        rest: the driving face at rest, one frame.
    """

    start: int
    place: Placement
    rest: FaceTrack


def scene_starts(track: FaceTrack) -> list[int]:
    """The frames with which a scene begins, 0 first.

    A cut is seen in the face alone: from one frame to the next, both showing it, it jumps or changes its size
    as no head does. A face that comes back after a gap is the same scene's.
    """
    boxes = track.boxes.astype(np.float64)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    sides = np.sqrt(np.maximum(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), 1e-6))
    smaller = np.minimum(sides[1:], sides[:-1])
    jumped = np.linalg.norm(np.diff(centres, axis=0), axis=1) > _JUMP * smaller
    resized = np.abs(np.diff(np.log(sides))) > np.log(_RESIZE)
    both = track.detected[1:] & track.detected[:-1]
    return [0, *(np.flatnonzero((jumped | resized) & both) + 1).tolist()]


def place_scenes(driving: FaceTrack, reference: FaceTrack, settings: MotionSettings) -> list[Scene]:
    """Every scene of a clip, placed by itself; with absolute alignment the clip is one scene.

    Raises:
        InputError: no such rest frame, a reference of several frames, or a face without extent.
    """
    starts = [0] if settings.placing == "absolute" else scene_starts(driving)
    scenes = []
    for start, stop in zip(starts, [*starts[1:], len(driving)], strict=True):
        part = driving.take(range(start, stop))
        frame = _rest_of(part, settings.rest_frame, first=start == 0)
        mode: Literal["absolute", "relative"] = "absolute" if settings.placing == "absolute" else "relative"
        resting_landmarks(part, frame)  # which says where there is no such frame
        place = placement(part, reference, mode=mode, driving_rest_frame=frame)
        scenes.append(Scene(start, place, part.take([frame])))
    return scenes


def _rest_of(scene: FaceTrack, frame: RestFrame, *, first: bool) -> int:
    """The number of a scene's rest frame; a frame that only the first scene is long enough for is its last one."""
    if frame == "frontal":
        return rest_frame(scene)
    return frame if first else min(frame, len(scene) - 1)


@dataclass(frozen=True)
class PlacedMotion:
    """A driving face placed on the portrait, scene by scene, for those frames that are asked for.

    Attributes:
        driving: the driving face.
        scenes: from ``place_scenes``.
        reference: the portrait's face, one frame.
        settings: how it is placed.
    """

    driving: TrackSource
    scenes: Sequence[Scene]
    reference: FaceTrack
    settings: MotionSettings

    def __len__(self) -> int:
        return len(self.driving)

    def parts(self, start: int, stop: int) -> list[tuple[Scene, range]]:
        """The scenes of frames ``start`` to ``stop``, and the frames of each."""
        bounds = [*(scene.start for scene in self.scenes[1:]), len(self)]
        ranges = [
            (scene, range(max(scene.start, start), min(end, stop)))
            for scene, end in zip(self.scenes, bounds, strict=True)
        ]
        return [(scene, frames) for scene, frames in ranges if frames]

    def place(self, scene: Scene, track: FaceTrack) -> Retargeted:
        """Frames of a scene in the portrait's pixels. Label maps are carried with a retargeted face, else dropped."""
        if self.settings.placing != "retarget":
            if track.edits is not None:
                raise InputError(
                    f"driving: has edited expressions, and placing {self.settings.placing} moves the face as a whole; "
                    "choose retarget"
                )
            return Retargeted(scene.place.track(track), np.zeros(len(track), bool))
        made = retarget(
            track if self.settings.edit == ExpressionEdit() else edited(track, self.settings.edit),
            self.reference,
            rest=scene.rest,
            strength=self.settings.strength,
            turning=self.settings.turning,
        )
        if track.label_maps is None:
            return made
        maps = carry_pixels(
            track.label_maps, track.landmarks, made.track.landmarks, size=self.reference.size, labels=True
        )
        return replace(made, track=replace(made.track, label_maps=maps))

    def landmarks(self, start: int, stop: int) -> np.ndarray:
        """(n, 478, 3) float32: where the face goes in frames ``start`` to ``stop``, in the portrait's pixels."""
        parts = [
            self.place(scene, self.driving.take(frames, label_maps=False)).track.landmarks
            for scene, frames in self.parts(start, stop)
        ]
        return np.concatenate(parts)

    def limited(self, *, block: int = 256) -> np.ndarray:
        """(F,) bool: the frames whose motion was too much for the portrait's mesh and was limited."""
        found = np.zeros(len(self), bool)
        for start in range(0, len(self), block):
            for scene, frames in self.parts(start, min(start + block, len(self))):
                track = self.driving.take(frames, label_maps=False)
                found[frames.start : frames.stop] = self.place(scene, track).limited
        return found
