"""How much of a driver's expression arrives in a result: correlation and gain of what a face reader says of both.

A reading is one row of ``SIGNALS``: MediaPipe's blendshapes in [0, 1], four values derived from them, and the head's
yaw, pitch and roll in degrees. A sequence of readings is (F, len(SIGNALS)) float64, NaN in frames without a face.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InputError

BLENDSHAPES = (
    *("jawOpen", "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft", "mouthFrownRight", "mouthPucker"),
    *("mouthFunnel", "mouthClose", "mouthLeft", "mouthRight", "mouthStretchLeft", "mouthStretchRight"),
    *("mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthUpperUpLeft"),
    *("mouthUpperUpRight", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight"),
    *("eyeBlinkLeft", "eyeBlinkRight", "eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight"),
    *("browInnerUp", "browDownLeft", "browDownRight", "browOuterUpLeft", "browOuterUpRight"),
    *("eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight"),
    *("eyeLookUpLeft", "eyeLookUpRight", "eyeLookDownLeft", "eyeLookDownRight"),
)
DERIVED: Mapping[str, Mapping[str, float]] = {
    # both eyes to the same side: one looks towards the nose, the other away from it
    "gazeHorizontal": {"eyeLookInLeft": 1, "eyeLookOutLeft": -1, "eyeLookInRight": -1, "eyeLookOutRight": 1},
    "gazeVertical": {"eyeLookUpLeft": 1, "eyeLookDownLeft": -1, "eyeLookUpRight": 1, "eyeLookDownRight": -1},
    "smile": {"mouthSmileLeft": 1, "mouthSmileRight": 1},
    "blink": {"eyeBlinkLeft": 1, "eyeBlinkRight": 1},
}
"""Half the sum of blendshapes with these signs."""
POSE = ("yaw", "pitch", "roll")
SIGNALS = (*BLENDSHAPES, *DERIVED, *POSE)
EXPRESSION = (
    *("jawOpen", "smile", "mouthPucker", "mouthFunnel", "blink", "browInnerUp"),
    *("gazeHorizontal", "gazeVertical"),
)
"""The signals that a summary is over."""

QUIET = 0.02  # standard deviation of a driver's blendshape below which it says nothing
QUIET_DEGREES = 1.0
_MIN_FRAMES = 3
_STILL = 1e-9  # standard deviation of what does not move but for rounding


@dataclass(frozen=True)
class SignalScore:
    """One signal of a pair of clips, over the frames in which both faces are found; NaN where it has no value.

    Attributes:
        signal: of ``SIGNALS``.
        correlation: Pearson's r in [-1, 1]; NaN where either clip stands still.
        gain: slope of the least-squares line ``generated = a + gain * driving``. 1: arrives whole; 0: not at all.
        driving_sd, generated_sd: standard deviations.
        driving_mean, generated_mean: over the same frames.
        reference: the portrait's own value.
        quiet: the driver hardly moves; correlation and gain say nothing.
    """

    signal: str
    correlation: float
    gain: float
    driving_sd: float
    generated_sd: float
    driving_mean: float
    generated_mean: float
    reference: float
    quiet: bool


@dataclass(frozen=True)
class PairScore:
    """A driving and a generated clip.

    Attributes:
        name: of the pair.
        frames: how many were compared.
        found_driving, found_generated: share of them with a face, in [0, 1].
        signals: one score for each of ``SIGNALS``.
        identity: mean cosine of the generated faces to the portrait's, see ``identity.py``; NaN where not measured.
    """

    name: str
    frames: int
    found_driving: float
    found_generated: float
    signals: tuple[SignalScore, ...]
    identity: float = math.nan


@dataclass(frozen=True)
class ExpressionSummary:
    """One row of a table: what the pairs of clips of one method come to.

    Attributes:
        method: what made the generated clips.
        pairs: of clips.
        signals: how many signals of ``EXPRESSION``, of all pairs together, were loud enough to count.
        correlation: their mean.
        gain: their median.
        yaw, pitch, roll: mean correlation over the pairs whose driver turns.
        found: mean share of generated frames with a face; the others are in none of these figures.
        identity: mean over the pairs.
    """

    method: str
    pairs: int
    signals: int
    correlation: float
    gain: float
    yaw: float
    pitch: float
    roll: float
    found: float
    identity: float


@dataclass(frozen=True)
class SignalSummary:
    """One signal over all pairs whose driver moves it: their number, mean correlation and median gain."""

    signal: str
    pairs: int
    correlation: float
    gain: float


def reading(blendshapes: Mapping[str, float], transformation: np.ndarray) -> np.ndarray:
    """One frame's reading, (len(SIGNALS),) float64.

    Args:
        blendshapes: by MediaPipe's names, in [0, 1]; at least ``BLENDSHAPES``.
        transformation: (4, 4) facial transformation matrix (x right, y up, z to the viewer), scale allowed.
    """
    derived = [sum(sign * blendshapes[name] for name, sign in parts.items()) / 2 for parts in DERIVED.values()]
    return np.array([*(blendshapes[name] for name in BLENDSHAPES), *derived, *_degrees(transformation)], np.float64)


def _degrees(transformation: np.ndarray) -> np.ndarray:
    """Yaw, pitch and roll of the matrix's rotation, (3,)."""
    rotation = transformation[:3, :3] / np.linalg.norm(transformation[:3, :3], axis=0, keepdims=True)
    yaw = np.arctan2(rotation[0, 2], rotation[2, 2])
    pitch = np.arcsin(np.clip(-rotation[1, 2], -1, 1))
    roll = np.arctan2(rotation[1, 0], rotation[1, 1])
    return np.degrees([yaw, pitch, roll])


def score_pair(
    name: str,
    driving: np.ndarray,
    generated: np.ndarray,
    *,
    reference: np.ndarray | None = None,
    identity: float = math.nan,
) -> PairScore:
    """Compare two sequences of readings frame by frame; of unequal lengths, the shorter counts.

    Args:
        driving, generated: (F, len(SIGNALS)), rows of NaN without a face.
        reference: the portrait's reading, (len(SIGNALS),).
    Raises:
        InputError: one of them has no frames.
    """
    frames = min(len(driving), len(generated))
    if frames == 0:
        raise InputError(f"{name}: no frames to compare; give clips of at least {_MIN_FRAMES}")
    driving, generated = driving[:frames], generated[:frames]
    found = [~np.isnan(clip).any(axis=1) for clip in (driving, generated)]
    both = found[0] & found[1]
    own = np.full(len(SIGNALS), math.nan) if reference is None else reference
    return PairScore(
        name=name,
        frames=frames,
        found_driving=float(found[0].mean()),
        found_generated=float(found[1].mean()),
        signals=tuple(
            _score(signal, driving[both, column], generated[both, column], float(own[column]))
            for column, signal in enumerate(SIGNALS)
        ),
        identity=identity,
    )


def _score(signal: str, driving: np.ndarray, generated: np.ndarray, reference: float) -> SignalScore:
    if len(driving) < _MIN_FRAMES:
        driving, generated = np.full((2, _MIN_FRAMES), math.nan)
    driving_sd, generated_sd = float(driving.std()), float(generated.std())
    correlation = gain = math.nan
    if min(driving_sd, generated_sd) >= _STILL:
        correlation = float(np.corrcoef(driving, generated)[0, 1])
    if driving_sd > 0:
        gain = float(np.cov(driving, generated)[0, 1] / driving.var(ddof=1))
    return SignalScore(
        signal=signal,
        correlation=correlation,
        gain=gain,
        driving_sd=driving_sd,
        generated_sd=generated_sd,
        driving_mean=float(driving.mean()),
        generated_mean=float(generated.mean()),
        reference=reference,
        quiet=driving_sd < (QUIET_DEGREES if signal in POSE else QUIET),
    )


def summarise_expression(method: str, pairs: Sequence[PairScore]) -> ExpressionSummary:
    """Mean correlation and median gain over the signals of ``EXPRESSION`` in all pairs, the quiet ones left out.

    Raises:
        InputError: there is no pair.
    """
    if not pairs:
        raise InputError(f"expression of {method}: no pairs of clips; give at least one")
    loud = _loud(pairs, EXPRESSION)
    yaw, pitch, roll = (_mean(map(_correlation, _loud(pairs, (axis,)))) for axis in POSE)
    return ExpressionSummary(
        method=method,
        pairs=len(pairs),
        signals=len(loud),
        correlation=_mean(map(_correlation, loud)),
        gain=_median_gain(loud),
        yaw=yaw,
        pitch=pitch,
        roll=roll,
        found=_mean(pair.found_generated for pair in pairs),
        identity=_mean(pair.identity for pair in pairs if math.isfinite(pair.identity)),
    )


def summarise_signals(pairs: Sequence[PairScore]) -> list[SignalSummary]:
    """Each of ``SIGNALS`` over the pairs; NaN for a signal that is quiet in all of them."""
    summaries = []
    for signal in SIGNALS:
        loud = _loud(pairs, (signal,))
        summaries.append(SignalSummary(signal, len(loud), _mean(map(_correlation, loud)), _median_gain(loud)))
    return summaries


def _loud(pairs: Sequence[PairScore], signals: Sequence[str]) -> list[SignalScore]:
    """What can be judged: the driver moves, in enough frames with both faces."""
    scores = (score for pair in pairs for score in pair.signals)
    return [score for score in scores if score.signal in signals and not score.quiet and math.isfinite(score.gain)]


def _correlation(score: SignalScore) -> float:
    """A loud driver's signal whose result stands still has no correlation; left out, it would flatter."""
    return 0.0 if math.isnan(score.correlation) else score.correlation


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return float(np.mean(listed)) if listed else math.nan


def _median_gain(scores: Sequence[SignalScore]) -> float:
    return float(np.median([score.gain for score in scores])) if scores else math.nan
