"""The surface of an avatar's head, and its exact landmarks in MediaPipe's topology.

Head space: x right, y down, z towards the viewer, origin in the middle of the head, unit half its height.
Every facial feature is placed on the frontal plane (x, y) and lies on the surface above it, so rendering and
landmarks agree exactly under any rotation.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from ...motion.components import INNER_MOUTH_RINGS, OUTER_MOUTH_RINGS, RINGS
from ...types import NUM_LANDMARKS, Component
from ...warp.tessellation import FACE_TRIANGLES
from .identity import Identity, Shape
from .motion import Motion

Points = dict[int, tuple[float, float]]
"""Frontal-plane positions by landmark index."""

_NOSE_X = (0.22, 0.24, 0.28, 0.35, 0.5, 0.75, 0.95, 1.0, 0.88, 0.55, 0.28)
_NOSE_Y = (0.08, 0.25, 0.4, 0.55, 0.68, 0.78, 0.86, 0.95, 1.02, 1.06, 1.05)
_NOSE_BRIDGE, _NOSE_TIP = 1, 4
_IRIS_CENTRES = {Component.RIGHT_IRIS: 468, Component.LEFT_IRIS: 473}


def frame_centre(motion: Motion) -> tuple[float, float]:
    """Where the head's origin lies, as shares of the frame's width and height."""
    return 0.5 + motion.x, 0.455 + motion.y


def taper(shape: Shape, y: np.ndarray) -> np.ndarray:
    """Half width at height y relative to the widest: narrower to the chin, wider at the temples."""
    lower = np.clip(y, 0, 1.3)
    return 1 - shape.taper * lower * lower + 0.04 * np.exp(-(((y + 0.3) / 0.3) ** 2))


def half_height(motion: Motion, y: np.ndarray) -> np.ndarray:
    """Vertical half axis at height y: opening the jaw lengthens the lower half."""
    return np.where(y > 0, 1 + 0.1 * motion.jaw, 1.0)


def displacement(shape: Shape, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Relief of the face over the ellipsoid: nose, sockets, brow ridge, lips, chin, cheeks."""

    def bump(centre_x: float, centre_y: float, width: float, height: float) -> np.ndarray:
        return np.exp(-(((np.abs(x) - centre_x) / width) ** 2) - ((y - centre_y) / height) ** 2)

    end = shape.nose_y * 0.95
    ridge = np.exp(-((x / (shape.nose_width * 0.95)) ** 2))
    ridge = ridge * np.clip((y + 0.12) / (end + 0.12), 0, 1.0) ** 1.6
    ridge = ridge * np.where(y > end, np.exp(-(((y - end) / 0.075) ** 2)), 1)
    brow_ridge = 0.03 * np.exp(-(((y - shape.eye_y + 0.2) / 0.1) ** 2))
    return (
        shape.nose_height * ridge
        - 0.05 * bump(shape.eye_x, shape.eye_y, 0.15, 0.11)
        + brow_ridge
        + 0.045 * bump(0, shape.mouth_y, 0.2, 0.1)
        + 0.04 * bump(0, 0.9, 0.2, 0.12)
        + shape.cheek * bump(0.38, 0.3, 0.16, 0.16)
    )


def surface_depth(shape: Shape, motion: Motion, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """z of the front surface above frontal-plane points."""
    across = x / (shape.half_width * taper(shape, y))
    along = y / half_height(motion, y)
    inside = (1 + displacement(shape, x, y)) ** 2 - across**2 - along**2
    return shape.depth * np.sqrt(np.maximum(inside, 0.02))


def contour_points(identity: Identity, motion: Motion) -> Points:
    """Frontal-plane positions of the landmarks that outline the features, exactly where they are painted."""
    shape = identity.shape
    points: Points = {}
    _place_eyes(points, shape, motion)
    _place_brows(points, shape, motion)
    _place_mouth(points, shape, motion)
    _place_nose(points, shape)
    _place_oval(points, shape, motion)
    return points


def _place_eyes(points: Points, shape: Shape, motion: Motion) -> None:
    angle = np.pi * np.arange(9) / 8
    across, rise = np.cos(angle) * shape.eye_width, np.sin(angle)
    sides = (
        (-1, Component.RIGHT_EYE, Component.RIGHT_IRIS, motion.blink_right),
        (1, Component.LEFT_EYE, Component.LEFT_IRIS, motion.blink_left),
    )
    gaze_y = motion.gaze_y * 0.3
    for side, eye, iris, blink in sides:
        ring = RINGS[eye]  # outer corner, lower lid, inner corner, upper lid
        upper = shape.eye_height * (1.15 - 0.25 * max(gaze_y, 0) / 0.3) * (1 - blink)
        lower = shape.eye_height * 0.75 * (1 - 0.15 * blink)
        low = lower * rise**0.85
        high = -upper * rise**0.75 + blink * lower * 0.75 * rise
        x = shape.eye_x + across
        y = shape.eye_y - shape.eye_tilt * across * 0.6
        for k in range(9):
            points[int(ring[k])] = (side * x[k], y[k] + low[k])
        for k in range(1, 8):
            points[int(ring[16 - k])] = (side * x[k], y[k] + high[k])
        centre = (side * shape.eye_x + motion.gaze_x * 0.052, shape.eye_y + gaze_y * 0.084)
        points[_IRIS_CENTRES[iris]] = centre
        r = shape.iris
        for index, (dx, dy) in zip(RINGS[iris], ((r, 0.0), (0.0, -r), (-r, 0.0), (0.0, r)), strict=True):
            points[int(index)] = (centre[0] + dx, centre[1] + dy)


def _place_brows(points: Points, shape: Shape, motion: Motion) -> None:
    along = np.linspace(-1, 1, 5)  # outer to inner
    x = shape.eye_x - 0.01 - shape.brow_width * along
    thickness = shape.brow_thickness * (0.55 + 0.45 * (along + 1) / 2)
    sides = ((1, Component.LEFT_BROW, motion.brow_left), (-1, Component.RIGHT_BROW, motion.brow_right))
    for side, brow, raised in sides:
        ring = RINGS[brow]  # lower edge outer to inner, upper edge back
        y = shape.eye_y - shape.brow_distance - raised * 0.06 - shape.brow_arch * (1 - (along + 0.2) ** 2)
        y = y + max(-raised, 0) * 0.05 * along - max(raised, 0) * 0.02 * along
        for k in range(5):
            points[int(ring[k])] = (side * x[k], y[k] + thickness[k])
            points[int(ring[9 - k])] = (side * x[k], y[k] - thickness[k])


def _place_mouth(points: Points, shape: Shape, motion: Motion) -> None:
    smile, pucker = motion.smile, motion.pucker
    width = shape.mouth_width * (1 + 0.25 * max(smile, 0) - 0.38 * pucker - 0.1 * motion.jaw)
    opening = motion.jaw * 0.17 * (1 - 0.2 * pucker) + pucker * 0.03
    along = np.linspace(-1, 1, 11)
    arc = np.maximum(1 - along * along, 0)
    middle = shape.mouth_y - smile * 0.055 * np.abs(along) ** 1.5
    upper = shape.upper_lip * (1 + 0.35 * pucker - 0.2 * max(smile, 0))
    lower = shape.lower_lip * (1 + 0.35 * pucker - 0.15 * max(smile, 0))
    bow = 1 - 0.18 * np.exp(-((along / 0.18) ** 2))
    outer_top = middle - (opening * 0.25 + upper * 1.25) * arc**0.8 * bow
    outer_bottom = middle + (opening * 0.75 + lower * 1.15) * arc**0.75
    inner_top = middle - opening * 0.25 * arc
    inner_bottom = middle + opening * 0.75 * arc + 0.002
    for rings, top, bottom, share in (
        (OUTER_MOUTH_RINGS, outer_top, outer_bottom, 1.0),
        (INNER_MOUTH_RINGS, inner_top, inner_bottom, 0.86),
    ):
        for k in range(11):
            points[rings[0][k]] = (width * share * along[k], top[k])
        for k in range(1, 10):
            points[rings[1][k]] = (width * share * along[k], bottom[k])


def _place_nose(points: Points, shape: Shape) -> None:
    ring = RINGS[Component.NOSE]  # root, down the person's left side, base, up the right side
    top = shape.eye_y - 0.02
    height = shape.nose_y - top
    points[int(ring[0])] = (0.0, top - 0.03)
    for k, (x, y) in enumerate(zip(_NOSE_X, _NOSE_Y, strict=True)):
        points[int(ring[1 + k])] = (x * shape.nose_width, top + y * height)
        points[int(ring[23 - k])] = (-x * shape.nose_width, top + y * height)
    points[int(ring[12])] = (0.0, top + 1.06 * height)
    points[_NOSE_TIP] = (0.0, top + 0.86 * height)
    points[_NOSE_BRIDGE] = (0.0, top + 0.94 * height)


def _place_oval(points: Points, shape: Shape, motion: Motion) -> None:
    ring = RINGS[Component.FACE]  # clockwise from the top of the forehead
    angle = 2 * np.pi * np.arange(len(ring)) / len(ring)
    cosine = np.cos(angle)
    y = np.where(cosine > 0, -0.80 * cosine, -0.955 * cosine * (1 + 0.1 * motion.jaw))
    x = np.sin(angle) * 0.93 * shape.half_width * taper(shape, y)
    for k, index in enumerate(ring):
        points[int(index)] = (float(x[k]), float(y[k]))


@cache
def _relaxation(known: frozenset[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How the other mesh points follow from the known ones: the harmonic solution on the mesh's edges.

    Returns:
        the indices that follow, the indices known, and the matrix (following, known).
    """
    mesh = 468
    edges = np.zeros((mesh, mesh))
    for first, second in ((0, 1), (1, 2), (2, 0)):
        start, end = FACE_TRIANGLES[:, first], FACE_TRIANGLES[:, second]
        edges[start, end] = edges[end, start] = 1
    degree = edges.sum(1)
    given = np.array(sorted(i for i in known if i < mesh))
    rest = np.array([i for i in range(mesh) if i not in known and degree[i] > 0])
    laplacian = np.diag(degree) - edges
    matrix = np.linalg.solve(laplacian[np.ix_(rest, rest)], -laplacian[np.ix_(rest, given)])
    return rest, given, matrix


def landmarks(identity: Identity, motion: Motion, *, size: int, points: Points | None = None) -> np.ndarray:
    """The 478 landmarks of a frame, exact.

    Outlines (brows, eyes, irises, nose, lips, face oval) lie where they are painted; the remaining mesh
    points relax between them over the mesh's edges and are then placed on the surface.

    Args:
        size: side of the frame in pixels.
        points: ``contour_points`` of the same frame, where they are at hand.
    Returns:
        (478, 3) float32: x, y in pixels, z in the same unit, smaller is nearer.
    """
    points = contour_points(identity, motion) if points is None else points
    plane = np.zeros((NUM_LANDMARKS, 2))
    for index, place in points.items():
        plane[index] = place
    rest, given, matrix = _relaxation(frozenset(points))
    plane[rest] = matrix @ plane[given]
    depth = surface_depth(identity.shape, motion, plane[:, 0], plane[:, 1])
    seen = np.column_stack([plane, depth]) @ motion.rotation().T
    centre_x, centre_y = frame_centre(motion)
    scale = identity.shape.scale
    pixels = np.column_stack([centre_x + scale * seen[:, 0], centre_y + scale * seen[:, 1], -scale * seen[:, 2]])
    return (pixels * size).astype(np.float32)
