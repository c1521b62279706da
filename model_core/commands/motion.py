"""What the user's words on the command line mean: how the motion is placed, and how large the result is."""

from __future__ import annotations

import argparse
from dataclasses import fields

from ..errors import InputError
from ..motion.editing import EDITABLE, ExpressionEdit
from ..motion.scenes import MotionSettings, RestFrame
from ..motion.strength import EXPRESSION_ONLY, HEAD_ONLY, MotionStrength
from ..warp.full_size import OutputSize
from .settings import pairs_of

_ONLY = {None: MotionStrength(), "expression": EXPRESSION_ONLY, "head": HEAD_ONLY}
_REGIONS = tuple(field.name for field in fields(MotionStrength))


def motion_from(args: argparse.Namespace) -> MotionSettings:
    """The options of the group "motion"; what they cannot mean is an InputError."""
    strength = {name: getattr(_ONLY[args.only], name) for name in _REGIONS}
    strength |= _numbers("--strength", args.strength, "REGION=X", _REGIONS)
    over_driver = getattr(args, "paste", "none") == "driving"
    return MotionSettings(
        placing=args.alignment,
        strength=MotionStrength(**strength),
        turning=args.turning or ("absolute" if over_driver else "relative"),
        rest_frame=_rest_frame(args.rest_frame),
        edit=ExpressionEdit(**_numbers("--edit", args.edit, "SLIDER=X", EDITABLE)),
    )


def _numbers(option: str, settings: list[str], form: str, names: tuple[str, ...]) -> dict[str, float]:
    """What ``NAME=X``, given any number of times, says."""
    said = {}
    form = f"{form} with one of {', '.join(names)}"
    for name, text in pairs_of(option, settings, form):
        if name not in names:
            raise InputError(f"{option} {name}={text}: write {form}")
        try:
            said[name] = float(text)
        except ValueError as error:
            raise InputError(f"{option} {name}={text}: {text!r} is not a number") from error
    return said


def _rest_frame(text: str) -> RestFrame:
    if text == "frontal":
        return "frontal"
    try:
        return int(text)
    except ValueError as error:
        raise InputError(f"--rest-frame {text}: give a frame's number, or frontal") from error


def size_from(text: str) -> OutputSize:
    """The option ``--size``."""
    if text == "model":
        return "model"
    if text == "portrait":
        return "portrait"
    try:
        return int(text)
    except ValueError as error:
        raise InputError(f"--size {text}: choose model, portrait, or the long side in pixels") from error
