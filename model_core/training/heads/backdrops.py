"""What is behind a person: walls, rooms and gardens out of focus. Linear colours."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator


def random_backdrop(random: Generator, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) float32, linear: one of five kinds, in colours of its own."""
    kind = random.choice(["wall", "clouds", "lights", "boards", "room"], p=[0.25, 0.25, 0.15, 0.15, 0.2])
    drawn = {"wall": _wall, "clouds": _clouds, "lights": _lights, "boards": _boards, "room": _room}[kind](random, size)
    return np.clip(drawn, 0.0, 1.5).astype(np.float32)


def _colour(random: Generator) -> np.ndarray:
    """Mostly muted, sometimes vivid, from nearly black to nearly white."""
    bright = random.beta(1.3, 2.0)
    vivid = random.beta(1.2, 3.0)
    hue = random.dirichlet((1.0, 1.0, 1.0)) * 3
    return np.asarray(bright * ((1 - vivid) + vivid * hue))


def _wall(random: Generator, size: tuple[int, int]) -> np.ndarray:
    height, width = size
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    at = random.uniform(-1, 1, 2)
    glow = 0.6 + random.uniform(0, 1) * np.exp(-random.uniform(0.4, 2.0) * ((x - at[0]) ** 2 + (y - at[1]) ** 2))
    grain = 1 + 0.04 * _noise(random, size, width / 40)
    return _colour(random) * (glow * grain)[..., None]


def _clouds(random: Generator, size: tuple[int, int]) -> np.ndarray:
    """Leaves, crowds, hills: nothing sharp enough to be one of them."""
    made = np.zeros((*size, 3)) + _colour(random)
    for scale in (1.5, 3, 6, 12)[: int(random.integers(2, 5))]:
        share = 1 / (1 + np.exp(-2.5 * _noise(random, size, size[1] / (2 * scale))))[..., None]
        made = made * (1 - share) + _colour(random) * share
    return _blurred(made, random.uniform(1.0, 6.0))


def _lights(random: Generator, size: tuple[int, int]) -> np.ndarray:
    made = np.zeros((*size, 3)) + 0.35 * _colour(random)
    for _ in range(int(random.integers(8, 40))):
        disc = np.zeros(size, np.float32)
        place = tuple(int(v) for v in random.uniform(0, 1, 2) * size[::-1])
        cv2.circle(disc, place, int(random.uniform(0.01, 0.07) * size[1]) + 1, 1.0, -1, cv2.LINE_AA)
        made += disc[..., None] * _colour(random) * random.uniform(0.2, 1.0)
    return _blurred(made, random.uniform(0.5, 2.0))


def _boards(random: Generator, size: tuple[int, int]) -> np.ndarray:
    """Bricks, planks or shelves."""
    height, width = size
    tall, wide = random.uniform(0.04, 0.2) * height, random.uniform(0.08, 1.0) * width
    row, column = np.mgrid[0:height, 0:width]
    line = (row / tall).astype(int)
    stone = ((column + 0.5 * wide * (line % 2)) / wide).astype(int)
    tone = random.uniform(0.75, 1.15, (line.max() + 1, stone.max() + 1))[line, stone]
    across, along = row % tall, (column + 0.5 * wide * (line % 2)) % wide
    gap = np.minimum(across, along) < max(0.06 * tall, 1.0)
    made = np.where(gap[..., None], _colour(random), _colour(random) * tone[..., None])
    turned = made.transpose(1, 0, 2) if random.random() < 0.3 and height == width else made
    return _blurred(turned * (1 + 0.05 * _noise(random, size, 6.0)[..., None]), random.uniform(0.4, 2.5))


def _room(random: Generator, size: tuple[int, int]) -> np.ndarray:
    """Windows, pictures and furniture as plain shapes."""
    height, width = size
    made = _wall(random, size).astype(np.float32)
    for _ in range(int(random.integers(2, 9))):
        low = random.uniform(-0.2, 0.9, 2) * (width, height)
        high = low + random.uniform(0.1, 0.6, 2) * (width, height)
        colour = (_colour(random) * random.uniform(0.5, 1.3)).tolist()
        corners = [tuple(int(v) for v in point) for point in (low, high)]
        cv2.rectangle(made, corners[0], corners[1], colour, -1, cv2.LINE_AA)
    return _blurred(made, random.uniform(0.5, 5.0))


def _noise(random: Generator, size: tuple[int, int], scale: float) -> np.ndarray:
    """(H, W) of unit deviation, features of ``scale`` pixels."""
    height, width = size
    small = random.normal(size=(int(height / scale) + 4, int(width / scale) + 4)).astype(np.float32)
    large = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(large / max(float(large.std()), 1e-6))


def _blurred(picture: np.ndarray, deviation: float) -> np.ndarray:
    return np.asarray(cv2.GaussianBlur(picture.astype(np.float32), (0, 0), deviation))
