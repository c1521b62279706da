"""How much of the driver's motion arrives, region by region."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from ..errors import InputError

MOST = 3.0
"""The largest strength: beyond it faces no longer hold together."""


@dataclass(frozen=True, kw_only=True)
class MotionStrength:
    """1 takes the driver's motion as it is, 0 leaves the portrait's own, more than 1 exaggerates.

    Attributes:
        head_rotation: turning, nodding and tilting, since the driver's rest frame.
        head_translation: where the head goes, and how near it comes.
        mouth: lips, jaw and cheeks.
        eyes: lids.
        brows: brows and forehead.
        gaze: irises.
    """

    head_rotation: float = 1.0
    head_translation: float = 1.0
    mouth: float = 1.0
    eyes: float = 1.0
    brows: float = 1.0
    gaze: float = 1.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise InputError(f"strength: {field.name} is {value!r}; give a number from 0 to {MOST:g}")
            if not 0 <= value <= MOST:
                raise InputError(f"strength: {field.name} is {value:g}; choose 0 to {MOST:g}")


EXPRESSION_ONLY = MotionStrength(head_rotation=0.0, head_translation=0.0)
HEAD_ONLY = MotionStrength(mouth=0.0, eyes=0.0, brows=0.0, gaze=0.0)
