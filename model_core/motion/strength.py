"""How much of the driver's motion arrives, region by region."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from ..bounds import Bounds, check_settings

MOST = 3
"""The largest strength: beyond it faces no longer hold together."""

Strength = Annotated[float, Bounds(0, MOST)]


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

    head_rotation: Strength = 1.0
    head_translation: Strength = 1.0
    mouth: Strength = 1.0
    eyes: Strength = 1.0
    brows: Strength = 1.0
    gaze: Strength = 1.0

    def __post_init__(self) -> None:
        check_settings(self, what="strength: ")


EXPRESSION_ONLY = MotionStrength(head_rotation=0.0, head_translation=0.0)
HEAD_ONLY = MotionStrength(mouth=0.0, eyes=0.0, brows=0.0, gaze=0.0)
