"""Means with error bars: how far another draw of identities could have moved them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

_DRAWS = 2000
_LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over identities and its interval of 95 %.

    Attributes:
        mean: of the identities' own means; NaN where none was measured.
        low, high: bootstrap percentiles; NaN where fewer than two identities were measured.
        identities: how many were measured.
    """

    mean: float
    low: float
    high: float
    identities: int

    def text(self, digits: int) -> str:
        """Such as ``27.31 ± 0.82``, half of the interval's width; without it where there is none."""
        if not math.isfinite(self.mean):
            return "-"
        half = (self.high - self.low) / 2
        return f"{self.mean:.{digits}f} ± {half:.{digits}f}" if math.isfinite(half) else f"{self.mean:.{digits}f}"


def estimate(values: Mapping[str, Sequence[float]]) -> Estimate:
    """What values say that were measured on some identities.

    Args:
        values: by identity, as many as were measured on it; what is not finite is left out.
    """
    finite = [[value for value in own if math.isfinite(value)] for own in values.values()]
    means = np.array([np.mean(own) for own in finite if own], np.float64)
    if not len(means):
        return Estimate(math.nan, math.nan, math.nan, 0)
    mean = float(means.mean())
    if len(means) == 1:
        return Estimate(mean, math.nan, math.nan, 1)
    # always the same draws: the same results give the same bars
    drawn = np.random.default_rng(0).integers(len(means), size=(_DRAWS, len(means)))
    tails = (1 - _LEVEL) / 2
    low, high = np.quantile(means[drawn].mean(axis=1), (tails, 1 - tails))
    return Estimate(mean, float(low), float(high), len(means))
