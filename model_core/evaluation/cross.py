"""How much of a driver's motion arrives on somebody else: ``expression.py``'s comparison of one pair as columns."""

from __future__ import annotations

import math

import numpy as np

from .expression import POSE, PairScore, summarise_expression, summarise_signals

ARRIVES = ("correlation", "gain", "blink_gain", "yaw", "pitch", "roll", "pose_gain", "identity", "found")


def arrives(pair: PairScore) -> dict[str, float]:
    """By name of ``scores.COLUMNS``; NaN where the driver does not do what a column is about.

    Correlation and gain are over the signals of ``expression.EXPRESSION``; yaw, pitch and roll are correlations, and
    the pose's gain is the median of theirs.
    """
    whole = summarise_expression("", [pair])
    signals = {row.signal: row for row in summarise_signals([pair])}
    turned = [signals[axis].gain for axis in POSE if math.isfinite(signals[axis].gain)]
    return {
        "correlation": whole.correlation,
        "gain": whole.gain,
        "blink_gain": signals["blink"].gain,
        "yaw": whole.yaw,
        "pitch": whole.pitch,
        "roll": whole.roll,
        "pose_gain": float(np.median(turned)) if turned else math.nan,
        "found": whole.found,
        "identity": whole.identity,
    }
