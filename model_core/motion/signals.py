"""The kinds of motion signal in one table: how each is made, what it needs, and which node makes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, cast

from torch import Tensor

from ..errors import InputError
from ..types import FaceTrack, MotionKind, MotionSignal
from .alignment import Alignment, Similarity, placement
from .drawn_landmarks import drawn_landmarks_signal, split_landmarks_signal
from .masked_frames import masked_frames_signal
from .parsing_map import parsing_map_signal
from .retarget import retarget

Placing = Literal["relative", "absolute", "retarget"]
"""Where the motion acts in the portrait: ``alignment.placement``'s two modes, or ``retarget.retarget``."""


@dataclass(frozen=True)
class SignalKind:
    """One kind of motion signal.

    Attributes:
        node: the node that makes it, as users know it; for messages.
        draw: makes it of a face track, or None where it shows the driving frames themselves.
        placing: its placing on a reference where the user chooses none.
        pictures: how many pictures of three channels a frame has.
        retargets: whether landmarks alone make it, so that they can be moved one by one.
    """

    node: str
    draw: Callable[..., MotionSignal] | None
    placing: Placing = "relative"
    pictures: int = 1
    retargets: bool = False


SIGNALS: Mapping[MotionKind, SignalKind] = MappingProxyType(
    {
        "parsing_map": SignalKind("Parsing Map Motion", parsing_map_signal),
        "masked_frames": SignalKind("Masked Frames Motion", None),
        "drawn_landmarks": SignalKind(
            "Drawn Landmarks Motion", drawn_landmarks_signal, placing="retarget", retargets=True
        ),
        "split_landmarks": SignalKind(
            "Drawn Landmarks Motion (style: head and mouth)", split_landmarks_signal, pictures=2, retargets=True
        ),
    }
)


def choose_placing(kind: MotionKind, placing: Placing | None) -> Placing:
    """The placing that a user chose, or the kind's own; an InputError if the kind cannot be placed so."""
    if placing == "retarget" and not SIGNALS[kind].retargets:
        raise InputError(f"alignment: retarget moves drawn landmarks only, not {kind}; choose relative or absolute")
    return placing or SIGNALS[kind].placing


def make_signal(
    kind: MotionKind,
    driving: FaceTrack,
    *,
    reference: FaceTrack | None = None,
    placing: Placing | None = None,
    frames: Tensor | None = None,
    size: tuple[int, int] | None = None,
) -> MotionSignal:
    """The motion of a driving face, placed on a reference.

    Args:
        driving: F frames.
        reference: the portrait's face, one frame; without it the driving face stays where it is in its own frame.
        placing: None takes the kind's own.
        frames: (F, 3, H, W) in [-1, 1], the driving frames; only masked frames need them.
        size: (H, W) of the signal; None takes the reference's, or without one the driving frames'.
    Raises:
        InputError: frames are needed and missing, or the kind cannot be placed so.
    """
    signal, chosen = SIGNALS[kind], choose_placing(kind, placing)
    shown = size or (driving if reference is None else reference).size
    place: Similarity | None = None
    if reference is not None and chosen == "retarget":
        driving = retarget(driving, reference)
    elif reference is not None:
        place = placement(driving, reference, mode=cast(Alignment, chosen))
    if signal.draw is not None:
        return signal.draw(driving, size=shown, place=place)
    if frames is None:
        raise InputError("driving: this model is driven by masked frames; connect the driving frames too")
    return masked_frames_signal(frames, driving, size=shown, place=place)


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
