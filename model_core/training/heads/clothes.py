"""A plain jumper, and what it and long hair cover."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .ict import Head
from .paint import Colour
from .scene import Surface

_EARS = 7.2  # cm from the middle of the head at rest


def jumper(positions: np.ndarray, colour: Colour, *, neckline: float = -11.4) -> Surface:
    """Shoulders and chest in knitted wool with a round neck, wide enough for the head's own (V, 3) chest."""
    chest = positions[(abs(positions[:, 0]) < 5) & (abs(positions[:, 1] + 13.5) < 1.5)]
    forward = max(float(chest[:, 2].max()) - 3.6, 0.0)
    rows, columns = 40, 96
    down = [0.0, 0.03, 0.08, 0.16, 0.35, 0.55, 1.0]
    share = np.linspace(0, 1, rows)[:, None]
    turn = np.linspace(0, 2 * np.pi, columns, endpoint=False)[None]
    half_width = np.interp(share, down, [6.9, 7.3, 7.6, 9.5, 16.5, 20.0, 21.5])
    half_depth = np.interp(share, down, [6.3, 6.7, 7.0, 7.9, 9.4, 10.8, 12.0])
    height = np.interp(share, down, [-0.7, 0.0, -0.4, -1.9, -6.3, -10.5, -34.0]) + neckline
    collar = np.interp(share, [0.0, 0.4], [1.0, 0.2])
    front, back = np.maximum(np.sin(turn), 0), np.maximum(-np.sin(turn), 0)
    height = height + 0.5 * abs(np.cos(turn)) + (1.3 * back - 2.6 * front**2) * collar
    depth = half_depth * np.sin(turn) - 2.2 + 1.2 * share + forward * front
    parts = np.broadcast_arrays(half_width * np.cos(turn), height, depth)
    points = np.stack(parts, axis=-1).reshape(-1, 3).astype(np.float32)
    corner = np.arange(rows - 1)[:, None] * columns + np.arange(columns)[None]
    beside = np.arange(rows - 1)[:, None] * columns + (np.arange(columns)[None] + 1) % columns
    quads = np.stack([corner, beside, corner + columns, beside + columns], axis=-1).reshape(-1, 4)
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [1, 3, 2]]])
    albedo = np.tile(np.array([*colour, 0.0], np.float32), (len(points), 1))
    return Surface("cloth", points, triangles, albedo, points)


def covered(head: Head, skin: Surface, *, ears: bool) -> Surface:
    """The skin without what lies under the jumper and, where hair hides them, without the ears."""
    return replace(skin, triangles=skin.triangles[covered_triangles(head, skin, ears=ears)])


def covered_triangles(head: Head, skin: Surface, *, ears: bool = False) -> np.ndarray:
    """(T,) bool: the triangles that ``covered`` keeps."""
    x, y, z = np.moveaxis(head.neutral[skin.triangles], -1, 0)
    kept = (y > -9.8) | ((np.hypot(x / 7.0, (z + 2.2) / 9.0) < 1) & (y > -15.0))
    if ears:
        kept &= ~((abs(x) > _EARS) & (abs(y - 1.0) < 5.0) & (abs(z) < 4.5))
    return np.asarray(kept.any(axis=1))
