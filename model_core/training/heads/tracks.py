"""What people do in training clips: they speak, laugh, blink, look around and turn their heads, smoothly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.random import Generator

from ..avatars.motion import smooth_curve
from .performance import Pose, both, looking

VISEMES: Mapping[str, Mapping[str, float]] = {
    "rest": {},
    "ah": {"jawOpen": 0.75, **both(mouthLowerDown=0.2)},
    "eh": {"jawOpen": 0.4, **both(mouthLowerDown=0.4, mouthUpperUp=0.3, mouthStretch=0.25)},
    "ee": {"jawOpen": 0.15, **both(mouthSmile=0.45, mouthLowerDown=0.6, mouthUpperUp=0.45, mouthStretch=0.3)},
    "oh": {"jawOpen": 0.5, "mouthFunnel": 0.6},
    "oo": {"jawOpen": 0.15, "mouthPucker": 0.9, "mouthFunnel": 0.3},
    "m": {"mouthRollUpper": 0.4, "mouthRollLower": 0.4, **both(mouthPress=0.4)},
    "f": {"mouthRollLower": 0.7, "jawOpen": 0.08, **both(mouthUpperUp=0.5)},
    "l": {"jawOpen": 0.35, **both(mouthLowerDown=0.35, mouthUpperUp=0.4)},
    "sh": {"jawOpen": 0.1, "mouthFunnel": 0.7, **both(mouthUpperUp=0.4, mouthLowerDown=0.5)},
}
"""Mouth shapes of speech."""

MOODS: Mapping[str, Mapping[str, float]] = {
    "calm": {},
    "smile": both(mouthSmile=0.7, cheekSquint=0.4, eyeSquint=0.2),
    "grin": both(mouthSmile=1.0, mouthUpperUp=0.55, mouthLowerDown=0.4, cheekSquint=0.7, eyeSquint=0.3),
    "laugh": {"jawOpen": 0.5, **both(mouthSmile=1.0, mouthUpperUp=0.6, mouthLowerDown=0.5, cheekSquint=0.8)},
    "shout": {"jawOpen": 1.0, **both(mouthUpperUp=0.6, mouthLowerDown=0.5, mouthStretch=0.4, browDown=0.6)},
    "yawn": {"jawOpen": 1.1, **both(eyeBlink=0.6, mouthStretch=0.2, cheekSquint=0.4)},
    "surprise": {"jawOpen": 0.7, "browInnerUp": 1.0, **both(browOuterUp=1.0, eyeWide=0.8)},
    "sad": {"browInnerUp": 0.9, "mouthShrugLower": 0.4, **both(mouthFrown=0.7, eyeSquint=0.2)},
    "angry": both(browDown=1.0, mouthPress=0.6, noseSneer=0.5, eyeSquint=0.4),
    "disgust": {"jawOpen": 0.1, **both(noseSneer=1.0, mouthUpperUp=0.7, browDown=0.5, mouthFrown=0.3)},
    "kiss": {"mouthPucker": 1.1},
    "crooked": {"mouthSmileLeft": 0.8, "cheekSquintLeft": 0.5, "mouthLeft": 0.4, "browOuterUpRight": 0.7},
    "teeth": both(mouthUpperUp=1.0, mouthLowerDown=1.0, mouthStretch=0.5),
}

_SHUT = {"jawOpen", "mouthFunnel", "mouthUpperUpLeft", "mouthUpperUpRight", "mouthLowerDownLeft", "mouthLowerDownRight"}
"""Coefficients without which lips stay closed."""
_SPEAKING = 0.55
"""Share of the tracks that show speech; the others show one mood after another."""
_CLOSED = 0.25
"""Share of the moments, in both, at which lips are closed."""


def random_portrait(random: Generator) -> Pose:
    """How somebody is portrayed: with closed lips in half of the cases, mostly from the front and looking at us."""
    mood = dict(MOODS[str(random.choice(["calm", "smile", "grin", "laugh", "sad", "crooked", "teeth"]))])
    strength = float(random.uniform(0.3, 1.0))
    spoken = dict(VISEMES[str(random.choice(list(VISEMES)))])
    expression = _sum([(mood, strength), (spoken, float(random.uniform(0, 0.8)))])
    if random.random() < 0.5:
        expression = _closed(expression)
    turn = random.normal(0, 1, 3) * (0.22, 0.1, 0.08)
    gaze = random.normal(0, 1, 2) * (0.12, 0.06)
    return _pose(expression, gaze - turn[:2] * 0.6, turn, np.zeros(2))


def random_track(random: Generator, frames: int) -> list[Pose]:
    """A performance of ``frames`` frames, some eight a second: neighbours resemble each other and still differ."""
    mouths = _mouths(random, frames)
    knots = max(2, frames // 4)

    def curve(amplitude: float, often: int = knots, offset: float = 0.0) -> np.ndarray:
        return offset + amplitude * smooth_curve(random, frames, often)

    turns = np.stack(
        [
            curve(0.28, offset=random.normal(0, 0.22)).clip(-0.75, 0.75),
            curve(0.14, offset=random.normal(0, 0.06)).clip(-0.4, 0.4),
            curve(0.12).clip(-0.4, 0.4),
        ],
        axis=1,
    )
    shifts = np.stack([curve(0.7).clip(-1.8, 1.8), curve(0.5).clip(-1.2, 1.2)], axis=1)
    gazes = np.stack([curve(0.3, knots + 2).clip(-0.55, 0.55), curve(0.16, knots + 2).clip(-0.3, 0.3)], axis=1)
    lids, brows = _lids(random, frames), curve(0.5, knots + 1, random.normal(0, 0.2))
    leans = curve(0.3)
    made = []
    for number in range(frames):
        upper = _brows(float(brows[number]), float(leans[number]))
        parts = [(mouths[number], 1.0), (upper, 1.0), (both(eyeBlink=float(lids[number])), 1.0)]
        made.append(_pose(_sum(parts), gazes[number], turns[number], shifts[number]))
    return made


def _mouths(random: Generator, frames: int) -> list[dict[str, float]]:
    """Speech, moods or both, from one shape to the next."""
    speaks = random.random() < _SPEAKING
    stops = int(np.ceil(frames / (2.0 if speaks else 3.5))) + 1
    shapes = []
    mood = dict(MOODS[str(random.choice(list(MOODS)))])
    for _ in range(stops):
        spoken = dict(VISEMES[str(random.choice(list(VISEMES)))])
        if random.random() < _CLOSED:
            parts = [(_closed(mood), float(random.uniform(0.0, 0.8))), (VISEMES["m"], float(random.uniform(0, 1)))]
        elif speaks:
            parts = [(mood, float(random.uniform(0.1, 0.7))), (spoken, float(random.uniform(0.6, 1.25)))]
        else:
            mood = dict(MOODS[str(random.choice(list(MOODS)))])
            parts = [(mood, float(random.uniform(0.5, 1.2))), (spoken, float(random.uniform(0.0, 0.4)))]
        shapes.append(_sum(parts))
    made = []
    for time in np.linspace(0, stops - 1.001, frames):
        first, share = int(time), time % 1
        share = share * share * (3 - 2 * share)
        made.append(_sum([(shapes[first], 1 - share), (shapes[first + 1], share)]))
    return made


def _closed(expression: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in expression.items() if name not in _SHUT}


def _lids(random: Generator, frames: int) -> np.ndarray:
    """(frames,) from open to closed: slow changes, blinks, and now and then eyes that stay shut."""
    lids = (0.15 * smooth_curve(random, frames, 2)).clip(0, 0.5)
    moments = np.arange(frames)
    for _ in range(int(random.integers(0, 3))):
        lids = np.maximum(lids, np.exp(-(((moments - random.uniform(0, frames)) / 0.9) ** 2)))
    if random.random() < 0.12:
        lids = np.maximum(lids, (1.4 * smooth_curve(random, frames, 2)).clip(0, 1))
    return np.asarray(lids * 1.05)


def _brows(height: float, lean: float) -> dict[str, float]:
    up, down = max(height, 0.0), max(-height, 0.0)
    return {
        "browInnerUp": up,
        "browOuterUpLeft": max(up + lean, 0.0),
        "browOuterUpRight": max(up - lean, 0.0),
        **both(browDown=down, eyeWide=0.4 * up),
    }


def _pose(expression: dict[str, float], gaze: np.ndarray, turn: np.ndarray, shift: np.ndarray) -> Pose:
    """With lids that follow the gaze; coefficients stay within what the shapes bear."""
    right, up = (float(value) for value in gaze)
    yaw, pitch, roll = (float(value) for value in turn)
    seen = looking(right, up)
    both_ways = _sum([(expression, 1.0), (dict(seen.expression), 1.0)])
    limited = {name: min(value, 1.25) for name, value in both_ways.items() if value > 1e-4}
    return Pose(limited, (right, up), (yaw, pitch, roll), (float(shift[0]), float(shift[1])))


def _sum(parts: Sequence[tuple[Mapping[str, float], float]]) -> dict[str, float]:
    made: dict[str, float] = {}
    for expression, weight in parts:
        for name, value in expression.items():
            made[name] = made.get(name, 0.0) + weight * value
    return made
