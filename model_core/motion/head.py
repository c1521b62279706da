"""How a head is held: rotations between faces, read off the landmarks that expressions leave alone."""

from __future__ import annotations

import numpy as np

from ..types import Component
from .components import CORNERS, RINGS

_FOREHEAD = (*RINGS[Component.FACE][:8].tolist(), *RINGS[Component.FACE][-7:].tolist())
_BRIDGE = (168, 6, 197, 195, 5, 4, 2)
SKULL = np.array([*CORNERS[Component.LEFT_EYE], *CORNERS[Component.RIGHT_EYE], *_BRIDGE, *_FOREHEAD])
"""Landmarks that hardly move when the face does: corners of the eyes, the nose's ridge, forehead and temples."""


def rotation(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The rotations R that bring one head's landmarks nearest to another's: ``target = source @ R.T``.

    Args:
        source, target: (..., 478, 3); the leading axes broadcast.
    Returns:
        (..., 3, 3).

    Source: Kabsch, "A solution for the best rotation to relate two sets of vectors", 1976; over the landmarks that
    expressions leave alone.
    """
    first, second = (
        points[..., SKULL, :] - points[..., SKULL, :].mean(axis=-2, keepdims=True) for points in (source, target)
    )
    u, _, vt = np.linalg.svd(np.swapaxes(first, -1, -2) @ second)
    mirror = np.ones(u.shape[:-1])
    mirror[..., 2] = np.sign(np.linalg.det(u @ vt))
    return np.swapaxes((u * mirror[..., None, :]) @ vt, -1, -2)


def rotation_vector(turns: np.ndarray) -> np.ndarray:
    """Rotations (..., 3, 3) as axes times angles in radians, (..., 3); angles below pi."""
    twice = np.stack(
        [
            turns[..., 2, 1] - turns[..., 1, 2],
            turns[..., 0, 2] - turns[..., 2, 0],
            turns[..., 1, 0] - turns[..., 0, 1],
        ],
        axis=-1,
    )
    sine = np.linalg.norm(twice, axis=-1, keepdims=True) / 2
    cosine = (np.trace(turns, axis1=-2, axis2=-1)[..., None] - 1) / 2
    angle = np.arctan2(sine, cosine)
    return twice / 2 * np.where(sine > 1e-9, angle / np.maximum(sine, 1e-9), 1.0)


def rotation_matrix(vectors: np.ndarray) -> np.ndarray:
    """The inverse of ``rotation_vector``: (..., 3) to (..., 3, 3), by Rodrigues' formula."""
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(vectors, -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*vectors.shape[:-1], 3, 3)
    small = angle < 1e-6
    safe = np.where(small, 1.0, angle)
    first = np.where(small, 1.0, np.sin(safe) / safe)
    second = np.where(small, 0.5, (1 - np.cos(safe)) / safe**2)
    return np.eye(3) + first * cross + second * (cross @ cross)
