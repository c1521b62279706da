"""Where the landmarks of a drawn head lie in its picture: read off the mesh, so exact in every expression."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
from safetensors import safe_open

from ...motion.components import INNER_MOUTH_RINGS
from ...motion.expressions import TABLE
from .correspondence import IRISES, MeshPoints
from .ict import Head
from .paint import eye_middle, gaze_turn, turned
from .performance import Pose
from .scene import Camera, Optics

_UPPER, _LOWER = (np.array(ring) for ring in INNER_MOUTH_RINGS)
_TOUCHING, _APART = 1.15, 3.0
"""Gaps between the inner lips, as multiples of that at rest: up to the one they touch, from the other on all shows."""


@cache
def mesh_points() -> MeshPoints:
    """The landmarks as points of the mesh, as the project's table of expressions has them."""
    with safe_open(str(TABLE), framework="np") as file:
        vertices, weights = file.get_tensor("ict_vertices"), file.get_tensor("ict_weights")
    return MeshPoints(vertices.astype(np.int64), weights.astype(np.float32))


def landmarks_in_space(head: Head, positions: np.ndarray, pose: Pose, *, iris_radius: float) -> np.ndarray:
    """The landmarks of a shaped head in cm.

    Args:
        positions: (V, 3), not turned yet.
        pose: for gaze and turn; the expression is in the positions already.
        iris_radius: in cm, as ``Optics`` has it.
    Returns:
        (478, 3).
    """
    marks = with_lips_closed(mesh_points().of(positions), mesh_points().of(head.neutral))
    turn = gaze_turn(pose.gaze)
    for side, centre in IRISES.items():
        ring = slice(centre, centre + 5)
        middle = eye_middle(head, positions, side)
        wide = marks[centre] + (marks[ring] - marks[centre]) * (iris_radius / Optics().iris_radius)
        marks[ring] = (wide - middle) @ turn.T + middle
    yaw, pitch, roll = pose.turn
    return turned(marks, yaw=yaw, pitch=pitch, roll=roll)


def with_lips_closed(marks: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """The landmarks (478, 3) with lips that touch where they do at rest.

    The points were found on open mouths. Their places roll inwards when lips close, and then no longer meet, where a
    landmarker sees one line.
    """
    gap, closed = marks[_LOWER] - marks[_UPPER], rest[_LOWER] - rest[_UPPER]
    times = np.linalg.norm(gap, axis=1) / np.maximum(np.linalg.norm(closed, axis=1), 1e-6)
    share = np.clip((times - _TOUCHING) / (_APART - _TOUCHING), 0, 1)[:, None]
    half = gap * (1 - share) / 2
    made = marks.copy()
    made[_UPPER] += half
    made[_LOWER] -= half
    return made


def landmarks_in_picture(marks: np.ndarray, camera: Camera) -> np.ndarray:
    """Landmarks (478, 3) in cm as a landmarker gives them: x, y and z in pixels, z away from the viewer."""
    depth = (marks[:, 2].mean() - marks[:, 2]) * camera.size[0] / camera.extent
    return np.concatenate([camera.project(marks), depth[:, None]], axis=1).astype(np.float32)


def framed(camera: Camera, marks: np.ndarray, *, share: float, centre: tuple[float, float]) -> Camera:
    """The camera as it sees the face at a size and a place.

    Args:
        marks: (478, 3) in cm, of the head at rest.
        share: of the picture's height that the landmarks' height fills.
        centre: where their middle lies, x and y as shares of the picture.
    """
    low, high = marks.min(axis=0), marks.max(axis=0)
    extent = float(high[1] - low[1]) / share
    x = float(low[0] + high[0]) / 2 - (centre[0] - 0.5) * extent * camera.size[1] / camera.size[0]
    y = float(low[1] + high[1]) / 2 + (centre[1] - 0.5) * extent
    return replace(camera, extent=extent, target=(x, y, float(marks[:, 2].mean())))
