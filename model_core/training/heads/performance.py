"""What the person of the driving clip does: one expression after the other, smoothly, from rest to rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

FPS = 25
SECONDS = 5.0


@dataclass(frozen=True)
class Pose:
    """One moment.

    Attributes:
        expression: coefficients by ARKit's names.
        gaze: in radians, towards the viewer's right and up.
        turn: yaw, pitch and roll of the head in radians, see ``paint.turned``.
        shift: cm that the person has moved, towards the viewer's right and up.
    """

    expression: Mapping[str, float] = field(default_factory=dict)
    gaze: tuple[float, float] = (0.0, 0.0)
    turn: tuple[float, float, float] = (0.0, 0.0, 0.0)
    shift: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Act:
    """A pose that comes and goes.

    Attributes:
        start, stop: in seconds.
        rise: seconds until it is there, and from when on it goes.
        pose: at its height.
    """

    start: float
    stop: float
    rise: float
    pose: Pose

    def strength(self, time: float) -> float:
        """In [0, 1]; its slope has no jumps."""
        share = min((time - self.start) / self.rise, (self.stop - time) / self.rise, 1.0)
        return share * share * (3 - 2 * share) if share > 0 else 0.0


def both(**coefficients: float) -> dict[str, float]:
    """The coefficients of both sides: ``both(eyeBlink=1)`` is eyeBlinkLeft and eyeBlinkRight."""
    return {f"{name}{side}": value for name, value in coefficients.items() for side in ("Left", "Right")}


def looking(right: float, up: float) -> Pose:
    """Eyes turned, and lids that go along."""
    aside = {"eyeLookOutLeft": right, "eyeLookInRight": right, "eyeLookInLeft": -right, "eyeLookOutRight": -right}
    lids = {name: max(value, 0.0) * 1.6 for name, value in aside.items()}
    lids |= both(eyeLookUp=max(up, 0.0) * 3.0, eyeLookDown=max(-up, 0.0) * 2.4)
    return Pose(lids, (right, up))


_SMILE = both(mouthSmile=1.0, mouthUpperUp=0.35, cheekSquint=0.5, mouthLowerDown=0.2)
_WINK = {"eyeBlinkLeft": 1.25, "cheekSquintLeft": 0.7, "eyeSquintLeft": 0.4, "mouthSmileLeft": 0.35}
_BROWS = both(browOuterUp=1.5, eyeWide=0.6) | {"browInnerUp": 1.5}

ACTS = (
    Act(0.20, 0.85, 0.24, Pose({"jawOpen": 1.0})),
    Act(0.75, 1.50, 0.26, Pose(_SMILE)),
    Act(1.40, 2.00, 0.24, Pose({"mouthPucker": 1.1, "mouthFunnel": 0.15})),
    Act(1.95, 2.40, 0.14, Pose(_WINK)),
    Act(2.42, 2.66, 0.12, Pose(both(eyeBlink=1.0))),
    Act(2.60, 3.10, 0.18, Pose(_BROWS)),
    Act(3.04, 3.32, 0.12, looking(-0.55, 0.0)),
    Act(3.22, 3.50, 0.12, looking(0.55, 0.0)),
    Act(3.42, 3.68, 0.12, looking(0.0, 0.35)),
    Act(3.60, 3.84, 0.11, looking(0.0, -0.35)),
    Act(3.70, 4.14, 0.21, Pose(turn=(0.28, 0.0, 0.03))),
    Act(3.98, 4.46, 0.22, Pose(turn=(-0.28, 0.02, -0.03))),
    Act(4.26, 4.40, 0.07, Pose({"jawOpen": 0.32, **both(mouthLowerDown=0.3)})),
    Act(4.36, 4.50, 0.07, Pose({"mouthFunnel": 0.7, "jawOpen": 0.15})),
    Act(4.46, 4.60, 0.07, Pose({"jawOpen": 0.42, **both(mouthStretch=0.35, mouthUpperUp=0.2)})),
    Act(4.56, 4.68, 0.06, Pose({"mouthRollUpper": 0.5, "mouthRollLower": 0.5})),
    Act(4.64, 4.80, 0.08, Pose({"jawOpen": 0.28, "mouthPucker": 0.5})),
    Act(4.74, 4.92, 0.09, Pose(both(mouthSmile=0.4, mouthUpperUp=0.25))),
)
"""In turn: mouth open, smile, pucker, wink, blink, brows, gaze to four sides, the head to both, a few words."""


def performance() -> list[Pose]:
    """The poses of all frames; overlapping acts add up."""
    return [_pose_at(frame / FPS) for frame in range(round(FPS * SECONDS))]


def _pose_at(time: float) -> Pose:
    expression: dict[str, float] = {}
    moved = np.zeros(5)
    for act in ACTS:
        strength = act.strength(time)
        for name, coefficient in act.pose.expression.items():
            expression[name] = expression.get(name, 0.0) + strength * coefficient
        moved += strength * np.array([*act.pose.gaze, *act.pose.turn])
    right, up, yaw, pitch, roll = moved.tolist()
    return Pose({name: value for name, value in expression.items() if value}, (right, up), (yaw, pitch, roll))
