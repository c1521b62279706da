"""A drawn face of 478 landmarks for the tests of this folder."""

from __future__ import annotations

import numpy as np
import pytest

from model_core.motion.components import (
    INNER_MOUTH_RINGS,
    LEFT_IRIS_CENTRE,
    OUTER_MOUTH_RINGS,
    RIGHT_IRIS_CENTRE,
    RINGS,
)
from model_core.types import NUM_LANDMARKS, Component


def _around(centre: tuple[float, float], across: float, down: float, turns: np.ndarray) -> np.ndarray:
    return np.stack([centre[0] + across * np.cos(turns), centre[1] + down * np.sin(turns)], axis=1)


def draw_face() -> np.ndarray:
    """(478, 3) float32, looking straight ahead in a frame of 256x256; the person's left is at the right."""
    points = np.tile(np.float32([128, 140]), (NUM_LANDMARKS, 1))
    for side, eye, brow, iris, centre in (
        (1, Component.LEFT_EYE, Component.LEFT_BROW, Component.LEFT_IRIS, LEFT_IRIS_CENTRE),
        (-1, Component.RIGHT_EYE, Component.RIGHT_BROW, Component.RIGHT_IRIS, RIGHT_IRIS_CENTRE),
    ):
        middle = (128 + side * 30, 110)
        lids = np.arange(16) * (2 * np.pi / 16)  # from the outer corner over the lower lid
        points[RINGS[eye]] = _around(middle, side * 14, 6, lids)
        along = np.linspace(1, -1, 5)
        lower = np.stack([128 + side * (30 + 18 * along), np.full(5, 94.0)], axis=1)
        points[RINGS[brow]] = np.concatenate([lower, lower[::-1] - (0, 5)])
        points[RINGS[iris]] = _around(middle, 5, -5, np.arange(4) * (np.pi / 2))
        points[centre] = middle
    points[RINGS[Component.NOSE]] = _around((128, 128), 12, -22, np.pi / 2 - np.arange(24) * (2 * np.pi / 24))
    for (top, bottom), across, down in ((OUTER_MOUTH_RINGS, 24, 12), (INNER_MOUTH_RINGS, 18, 5)):
        turns = np.linspace(np.pi, 0, 11)
        points[list(bottom)] = _around((128, 180), across, down, turns)
        points[list(top)] = _around((128, 180), across, -down, turns)
    points[RINGS[Component.FACE]] = _around((128, 140), 70, 85, np.arange(36) * (2 * np.pi / 36) - np.pi / 2)
    depth = -40.0 + ((points - (128, 140)) ** 2).sum(axis=1) / 150.0
    return np.concatenate([points, depth[:, None]], axis=1).astype(np.float32)


@pytest.fixture(scope="session")
def face() -> np.ndarray:
    points = draw_face()
    points.setflags(write=False)
    return points
