"""The kinds of motion signal in one table: how each is made, what it needs, and which node makes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..types import FaceTrack, MotionKind, MotionSignal
from ..warp.pixels import carry_pixels
from .drawn_landmarks import drawn_landmarks_signal, split_landmarks_signal
from .masked_frames import masked_frames_signal
from .parsing_map import parsing_map_signal
from .scenes import MotionSettings, PlacedMotion, Scene, place_scenes

_NEEDS_FRAMES = "driving: this model is driven by masked frames; connect the driving frames too"


@dataclass(frozen=True)
class SignalKind:
    """One kind of motion signal.

    Attributes:
        node: the node that makes it, as users know it; for messages.
        draw: makes it of a face track, or None where it shows the driving frames themselves.
        pictures: how many pictures of three channels a frame has.
    """

    node: str
    draw: Callable[..., MotionSignal] | None
    pictures: int = 1


SIGNALS: Mapping[MotionKind, SignalKind] = MappingProxyType(
    {
        "parsing_map": SignalKind("Parsing Map Motion", parsing_map_signal),
        "masked_frames": SignalKind("Masked Frames Motion", None),
        "drawn_landmarks": SignalKind("Drawn Landmarks Motion", drawn_landmarks_signal),
        "split_landmarks": SignalKind(
            "Drawn Landmarks Motion (style: head and mouth)", split_landmarks_signal, pictures=2
        ),
    }
)


def make_signal(
    kind: MotionKind,
    driving: FaceTrack,
    *,
    reference: FaceTrack | None = None,
    settings: MotionSettings | None = None,
    frames: Tensor | None = None,
    size: tuple[int, int] | None = None,
) -> MotionSignal:
    """The motion of a whole clip, placed on a reference.

    Args:
        driving: F frames.
        reference: the portrait's face, one frame; without it the driving face stays where it is in its own frame.
        settings: how it is placed; None retargets all of it.
        frames: (F, 3, H, W) in [-1, 1], the driving frames; only masked frames need them.
        size: (H, W) of the signal; None takes the reference's, or without one the driving frames'.
    Raises:
        InputError: frames are needed and missing, or the face cannot be placed, or its edits have no portrait.
    """
    if frames is None and SIGNALS[kind].draw is None:
        raise InputError(_NEEDS_FRAMES)
    if reference is None:
        if driving.edits is not None:
            raise InputError(
                "driving: has edited expressions, which count on the portrait's face; connect Encode Reference's "
                "framed_track to reference"
            )
        return _with_landmarks(_draw(kind, driving, frames, size or driving.size), driving, size or driving.size)
    settings = settings or MotionSettings()
    placed = PlacedMotion(driving, place_scenes(driving, reference, settings), reference, settings)
    parts = [
        draw_part(kind, placed, scene, driving.take(part), frames=_slice(frames, part), size=size or reference.size)
        for scene, part in placed.parts(0, len(driving))
    ]
    return join_signals(parts)


def draw_part(
    kind: MotionKind,
    placed: PlacedMotion,
    scene: Scene,
    track: FaceTrack,
    *,
    size: tuple[int, int],
    frames: Tensor | None = None,
) -> MotionSignal:
    """The signal of frames of one scene.

    Args:
        track: the driving face in these frames.
        size: (H, W) of the signal.
        frames: (n, 3, H, W) in [-1, 1], the frames themselves; only masked frames need them.
    """
    target = placed.place(scene, track).track
    if SIGNALS[kind].draw is not None:
        if placed.settings.placing != "retarget" and track.label_maps is not None and kind == "parsing_map":
            made = parsing_map_signal(track, size=size, place=scene.place)  # label maps move as pixels
        else:
            made = _draw(kind, target, None, size)
    elif frames is None:
        raise InputError(_NEEDS_FRAMES)
    elif placed.settings.placing == "retarget":
        unit = ((frames.float() + 1) / 2).permute(0, 2, 3, 1).contiguous().cpu().numpy()
        carried = carry_pixels(unit, track.landmarks, target.landmarks, size=target.size)
        shown = torch.from_numpy(carried).permute(0, 3, 1, 2) * 2 - 1
        made = _draw(kind, replace(target, label_maps=None), shown, size)
    else:
        made = masked_frames_signal(frames, track, size=size, place=scene.place)
    return _with_landmarks(made, target, size)


def join_signals(parts: list[MotionSignal]) -> MotionSignal:
    """Signals that follow one another as one."""
    marks = [part.landmarks for part in parts if part.landmarks is not None]
    landmarks = np.concatenate(marks) if len(marks) == len(parts) else None
    return MotionSignal(parts[0].kind, torch.cat([part.frames for part in parts]), landmarks)


def _draw(kind: MotionKind, track: FaceTrack, frames: Tensor | None, size: tuple[int, int]) -> MotionSignal:
    draw = SIGNALS[kind].draw
    if draw is not None:
        return draw(track, size=size)
    assert frames is not None
    return masked_frames_signal(frames, track, size=size)


def _with_landmarks(signal: MotionSignal, track: FaceTrack, size: tuple[int, int]) -> MotionSignal:
    across, down = size[1] / track.size[1], size[0] / track.size[0]
    scale = np.array([across, down, across], np.float32)
    return replace(signal, landmarks=(track.landmarks * scale).astype(np.float32))


def _slice(frames: Tensor | None, part: range) -> Tensor | None:
    return None if frames is None else frames[part.start : part.stop]


def check_signal(signal: MotionSignal, *, kind: MotionKind, size: tuple[int, int], model: str) -> None:
    """Raise InputError, naming the node to use, where a signal is not what a model takes.

    Args:
        kind, size: what it takes; (H, W).
        model: its name.
    """
    wanted = SIGNALS[kind]
    if signal.kind != kind:
        raise InputError(
            f"motion: is {signal.kind}, model {model} takes {kind}; connect {wanted.node} instead of "
            f"{SIGNALS[signal.kind].node}"
        )
    if len(signal) == 0:
        raise InputError("motion: has no frames; give Analyze Faces at least one driving frame with a face")
    channels, height, width = signal.frames.shape[1:]
    if channels != 3 * wanted.pictures:
        raise InputError(
            f"motion: has {channels} channels, {kind} has {3 * wanted.pictures}; make it with {wanted.node}"
        )
    if (height, width) != tuple(size):
        raise InputError(
            f"motion: is {width}x{height}, model {model} takes {size[1]}x{size[0]}; connect Encode Reference's "
            f"framed_track to {wanted.node}, or set its width and height"
        )
