"""Pictures in the colours of what they cover: the mean and the spread of each channel.

Source: Reinhard et al., "Color Transfer between Images", 2001, in RGB.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from torch import Tensor

_LARGEST_GAIN = 2.0  # a flat picture must not be blown up to noise
_MEMORY = 50  # frames over which the colour correction is averaged: it must follow the light, not the mouth

Pixels = TypeVar("Pixels", np.ndarray, Tensor)


@dataclass
class ColourMatch:
    """Brings the animated frames to the colours of what they cover, frame after frame.

    The moments are averaged over time, so the correction follows the light and does not flicker.

    Attributes:
        moments: (4, 3): mean and spread of the animated, mean and spread of the covered pixels; None at first.
    """

    moments: np.ndarray | None = field(default=None)

    def apply(self, picture: np.ndarray, covered: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Correct one frame.

        Args:
            picture, covered: (h, w, 3) float32 in [0, 255].
            weight: (h, w) >= 0: the pixels that count; where none does, nothing is changed or learnt.
        """
        if weight.sum() > 1.0:
            share = (weight / weight.sum())[..., None].astype(np.float64)

            def mean_of(pixels: np.ndarray) -> np.ndarray:
                return np.asarray((pixels * share).sum(axis=(0, 1)))

            seen = np.stack([*_moments(picture, mean_of), *_moments(covered, mean_of)])
            old = seen if self.moments is None else self.moments
            self.moments = old + (seen - old) / _MEMORY
        if self.moments is None:
            return picture
        mean, spread, wanted_mean, wanted_spread = self.moments.astype(np.float32)
        return _recoloured(picture, (mean, spread), (wanted_mean, wanted_spread), least=1e-3)


def matched_colours(images: Tensor, like: Tensor, weight: Tensor) -> Tensor:
    """Give pictures the mean and the spread of each colour channel of other ones.

    One correction serves all frames, so that it cannot flicker.

    Args:
        images, like: (F, C, H, W).
        weight: broadcastable to them, >= 0: the pixels that count.
    Returns:
        (F, C, H, W); unchanged where no pixel counts.
    """
    share = weight.expand_as(images)
    total = share.sum(dim=(0, 2, 3), keepdim=True)
    if not bool((total > 0).all()):
        return images
    share = share / total

    def mean_of(pixels: Tensor) -> Tensor:
        return (pixels * share).sum(dim=(0, 2, 3), keepdim=True)

    return _recoloured(images, _moments(images, mean_of), _moments(like, mean_of), least=1e-6)


def _moments(pixels: Pixels, mean_of: Callable[[Pixels], Pixels]) -> tuple[Pixels, Pixels]:
    """Mean and spread (standard deviation) of each channel."""
    mean = mean_of(pixels)
    return mean, mean_of((pixels - mean) ** 2) ** 0.5


def _recoloured(
    pixels: Pixels, moments: tuple[Pixels, Pixels], wanted: tuple[Pixels, Pixels], *, least: float
) -> Pixels:
    """Pixels of some moments with others; a spread counts as ``least`` at least."""
    (mean, spread), (wanted_mean, wanted_spread) = moments, wanted
    gain = (wanted_spread / spread.clip(least)).clip(1 / _LARGEST_GAIN, _LARGEST_GAIN)
    return (pixels - mean) * gain + wanted_mean
