"""Sliders for a face: expressions, gaze and head movements that are set by hand, alone or on top of a driver's.

An edit is a row of numbers for every frame: coefficients in the order of ``expression_names``, then how the head turns
(a rotation vector about its own axes, in radians), how far it moves (face sizes to the right and down) and the
logarithm of how much nearer it comes. Edits are added up, and travel with the track of the driving face
(``FaceTrack.edits``); retargeting puts them on the portrait's own face. Left and right are the person's own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from math import log, pi
from typing import Annotated

import numpy as np

from ..bounds import Bounds, Share, check_settings
from ..errors import InputError
from ..types import EDIT_COLUMNS, Component, FaceTrack
from .components import CORNERS
from .expressions import expression_names, expression_offsets

_Either = Annotated[float, Bounds(-1, 1)]
_Angle = Annotated[float, Bounds(-40, 40)]

_SLIDERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "jaw_open": (("jawOpen",), ()),
    "jaw_side": (("jawLeft",), ("jawRight",)),
    "smile": (("mouthSmileLeft", "mouthSmileRight"), ("mouthFrownLeft", "mouthFrownRight")),
    "pucker": (("mouthPucker",), ()),
    "funnel": (("mouthFunnel",), ()),
    "stretch": (("mouthStretchLeft", "mouthStretchRight"), ()),
    "show_teeth": (("mouthUpperUpLeft", "mouthUpperUpRight", "mouthLowerDownLeft", "mouthLowerDownRight"), ()),
    "mouth_side": (("mouthLeft",), ("mouthRight",)),
    "cheek_puff": (("cheekPuff",), ()),
    "sneer": (("noseSneerLeft", "noseSneerRight"), ()),
    "squint": (("eyeSquintLeft", "eyeSquintRight"), ()),
    "eye_left": (("eyeWideLeft",), ("eyeBlinkLeft",)),
    "eye_right": (("eyeWideRight",), ("eyeBlinkRight",)),
    "brow_left": (("browOuterUpLeft",), ("browDownLeft",)),
    "brow_right": (("browOuterUpRight",), ("browDownRight",)),
    "brow_inner": (("browInnerUp",), ()),
    "gaze_x": (("eyeLookOutLeft", "eyeLookInRight"), ("eyeLookInLeft", "eyeLookOutRight")),
    "gaze_y": (("eyeLookUpLeft", "eyeLookUpRight"), ("eyeLookDownLeft", "eyeLookDownRight")),
}
"""Per slider: the coefficients that its positive half raises, and those that its negative half raises."""

_OF_EYES = re.compile("eye(Blink|Wide|Look)")
_REACH = np.array([0.24, 0.13])  # eye lengths along and across, by which an iris moves at the end of its slider
_WIDER = 0.35  # of the eye's opening
_LOWERED = 0.35  # of the eye's opening, by which lids follow a look down


@dataclass(frozen=True, kw_only=True)
class ExpressionEdit:
    """What a user sets by hand; 0 (and a zoom of 1) leaves the face as it is.

    Attributes:
        jaw_open: 1 opens the mouth wide.
        jaw_side: the jaw to the person's left (1) or right (-1).
        smile: 1 smiles, -1 draws the corners of the mouth down.
        pucker, funnel, stretch, cheek_puff, sneer, squint: 1 is the full expression.
        show_teeth: lifts the upper lip and lowers the lower one.
        mouth_side: the mouth to the person's left (1) or right (-1).
        eye_left, eye_right: -1 shuts the eye, 1 opens it wide; one of them alone is a wink.
        brow_left, brow_right: 1 raises the outer brow, -1 lowers the brow.
        brow_inner: raises both brows next to the nose.
        gaze_x, gaze_y: the eyes look to the picture's right (1) or left (-1), up (1) or down (-1).
        yaw, pitch, roll: degrees by which the head turns to the picture's right, nods up, and tilts clockwise.
        move_x, move_y: face sizes by which the head moves to the picture's right and up.
        zoom: how much larger the face becomes.
    """

    jaw_open: Share = 0.0
    jaw_side: _Either = 0.0
    smile: _Either = 0.0
    pucker: Share = 0.0
    funnel: Share = 0.0
    stretch: Share = 0.0
    show_teeth: Share = 0.0
    mouth_side: _Either = 0.0
    cheek_puff: Share = 0.0
    sneer: Share = 0.0
    squint: Share = 0.0
    eye_left: _Either = 0.0
    eye_right: _Either = 0.0
    brow_left: _Either = 0.0
    brow_right: _Either = 0.0
    brow_inner: Share = 0.0
    gaze_x: _Either = 0.0
    gaze_y: _Either = 0.0
    yaw: _Angle = 0.0
    pitch: _Angle = 0.0
    roll: _Angle = 0.0
    move_x: _Either = 0.0
    move_y: _Either = 0.0
    zoom: Annotated[float, Bounds(0.5, 2)] = 1.0

    def __post_init__(self) -> None:
        check_settings(self, what="edit: ")

    @property
    def values(self) -> np.ndarray:
        """(57,) float32, one row of ``FaceTrack.edits``."""
        row = np.zeros(EDIT_COLUMNS, np.float32)
        names = expression_names()
        for slider, (raised, lowered) in _SLIDERS.items():
            value = getattr(self, slider)
            row[[names.index(name) for name in (raised if value > 0 else lowered)]] += abs(value)
        turn = np.array([-self.pitch, -self.yaw, self.roll]) * pi / 180
        row[len(names) :] = [*turn, self.move_x, -self.move_y, log(self.zoom)]
        return row


EDITABLE = tuple(field.name for field in fields(ExpressionEdit))


def edited(track: FaceTrack, edit: ExpressionEdit, amounts: np.ndarray | None = None) -> FaceTrack:
    """The same track with an edit on top of those that it has already.

    Args:
        track: a driving face, or a portrait's own, which then does what the edits say and nothing else.
        amounts: (F,), how much of the edit each frame shows; None all of it. A track of one frame becomes one of as
            many as there are amounts.
    Raises:
        InputError: another number of amounts than frames.
    """
    amounts = np.ones(len(track)) if amounts is None else np.asarray(amounts, np.float64)
    if len(track) == 1:
        track = track.take([0] * len(amounts))
    if amounts.shape != (len(track),):
        raise InputError(f"edit: amounts of shape {amounts.shape} for a track of {len(track)} frames; give one each")
    rows = amounts[:, None].astype(np.float32) * edit.values
    return track.with_edits(rows if track.edits is None else track.edits + rows)


def keyed_amounts(keys: str, frames: int) -> np.ndarray:
    """Amounts over time, (frames,) float64, from keys such as ``0: 0, 12: 1, 30: 0``.

    Between keys they ease in and out, before the first and after the last one they stay; without any key they are 1.

    Raises:
        InputError: keys that are not pairs of a frame's number and an amount from -2 to 2, in order.
    """
    pairs = [part.split(":") for part in re.split(r"[,;\n]", keys) if part.strip()]
    try:
        numbers = [(int(frame), float(amount)) for frame, amount in pairs]
    except ValueError as error:
        raise InputError(f"keys {keys.strip()!r}: write FRAME: AMOUNT, FRAME: AMOUNT, such as 0: 0, 12: 1") from error
    if not numbers:
        return np.ones(frames)
    at, amounts = (np.array(column, np.float64) for column in zip(*numbers, strict=True))
    if (np.diff(at) <= 0).any() or at[0] < 0 or not (np.abs(amounts) <= 2).all():
        raise InputError(f"keys {keys.strip()!r}: frames must rise from 0 on, and amounts lie between -2 and 2")
    places = np.interp(np.arange(frames), at, np.arange(len(at)))
    before = np.minimum(places.astype(int), len(at) - 1)
    after, share = np.minimum(before + 1, len(at) - 1), places - before
    return amounts[before] + (amounts[after] - amounts[before]) * share * share * (3 - 2 * share)


def add_expression(made: np.ndarray, edits: np.ndarray) -> None:
    """Move a face (F, 478, 3), held upright in its own sizes, by edits (F, 57), in place; lids and irises aside.

    What a slider moves is seen, so it need not read as far on every face: ``response.py`` has no say here.
    """
    made += expression_offsets(edits[:, : len(expression_names())] * ~_eye_columns())


def edited_lids(shares: list[np.ndarray], edits: np.ndarray) -> list[np.ndarray]:
    """Shares of the lids (``features.lid_shares``), left eye first, with what the edits open and close."""
    made = []
    for share, side in zip(shares, ("Left", "Right"), strict=True):
        shut, wide, down = (_column(edits, f"eye{what}{side}")[:, None] for what in ("Blink", "Wide", "LookDown"))
        made.append((share + _WIDER * wide) * np.clip(1 - shut, 0, 1) * (1 - _LOWERED * np.clip(down, 0, 1)))
    return made


def edited_gaze(moved: list[np.ndarray], own: np.ndarray, edits: np.ndarray) -> list[np.ndarray]:
    """Movements of the irises (``features.gaze``), left eye first, with where the edits look.

    Args:
        own: (478, 3), the portrait, held upright.
    """
    made = []
    for move, eye, side, outwards in zip(
        moved, (Component.LEFT_EYE, Component.RIGHT_EYE), ("Left", "Right"), (1, -1), strict=True
    ):
        first, last = (own[corner, 0] for corner in CORNERS[eye])
        along = 1 if last > first else -1  # the line between the corners may run either way
        right = outwards * (_column(edits, f"eyeLookOut{side}") - _column(edits, f"eyeLookIn{side}"))
        down = _column(edits, f"eyeLookDown{side}") - _column(edits, f"eyeLookUp{side}")
        made.append(move + along * _REACH * np.stack([right, down], axis=1))
    return made


def head_edits(edits: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The head's part of edits: rotation vectors (F, 3), ways (F, 3) in face sizes, and scales (F,)."""
    turn, way, nearer = np.split(edits[:, -6:].astype(np.float64), [3, 5], axis=1)
    return turn, np.pad(way, ((0, 0), (0, 1))), np.exp(nearer[:, 0])


def _column(edits: np.ndarray, name: str) -> np.ndarray:
    return edits[:, expression_names().index(name)].astype(np.float64)


def _eye_columns() -> np.ndarray:
    return np.array([_OF_EYES.match(name) is not None for name in expression_names()])
