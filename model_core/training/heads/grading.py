"""Colours as cameras, films and painters leave them: one grading for all pictures of a clip."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def random_grading(random: Generator) -> Callable[[np.ndarray], np.ndarray]:
    """A function from (..., 3) uint8 to (..., 3) uint8: contrast, saturation and tint; one in ten has no colours."""
    colourless = random.random() < 0.1
    saturation = 0.0 if colourless else float(random.uniform(0.7, 1.25))
    gamma = float(np.exp(random.normal(0, 0.15)))
    black = random.uniform(0, 0.05) + random.normal(0, 0.012, 3)
    white = random.uniform(0.94, 1.05) + random.normal(0, 0.02, 3)
    if colourless and random.random() < 0.5:  # neutral, not toned
        black, white = np.full(3, black[0]), np.full(3, white[0])

    def grade(picture: np.ndarray) -> np.ndarray:
        unit = (picture.astype(np.float32) / 255) ** gamma
        grey = (unit @ _LUMA)[..., None]
        toned = black + (white - black) * (grey + saturation * (unit - grey))
        return np.asarray((toned * 255).round().clip(0, 255), np.uint8)

    return grade
