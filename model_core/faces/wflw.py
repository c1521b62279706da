"""The 98 landmarks of WFLW: irises from its two pupils, and MediaPipe's outlines where there is no mesh.

Numbers of WFLW's points: 0 to 32 the face's outline from the person's right temple over the chin, 33 to 41 the right
brow, 42 to 50 the left one, 51 to 59 the nose, 60 to 67 the right eye, 68 to 75 the left one, 76 to 87 the outer and
88 to 95 the inner lips, 96 and 97 the pupils. Left and right are the person's own; the right eye is the one further
left in the picture. Source: Wu et al., "Look at Boundary: A Boundary-Aware Face Alignment Algorithm", CVPR 2018.
"""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from ..motion.components import (
    INNER_MOUTH_RINGS,
    LEFT_IRIS_CENTRE,
    OUTER_MOUTH_RINGS,
    RIGHT_IRIS_CENTRE,
    RINGS,
)
from ..types import NUM_LANDMARKS, Component

NUM_POINTS = 98

_PUPIL = MappingProxyType({Component.RIGHT_IRIS: 96, Component.LEFT_IRIS: 97})
_CORNERS = MappingProxyType({Component.RIGHT_IRIS: (60, 64), Component.LEFT_IRIS: (72, 68)})
_OTHER = MappingProxyType({Component.RIGHT_IRIS: Component.LEFT_IRIS, Component.LEFT_IRIS: Component.RIGHT_IRIS})
_CENTRE = MappingProxyType({Component.RIGHT_IRIS: RIGHT_IRIS_CENTRE, Component.LEFT_IRIS: LEFT_IRIS_CENTRE})

# Measured on 49 real faces with MediaPipe's landmarker, whose irises and outlines these stand for.
_IRIS_ACROSS = 0.23  # half its width, by the width of its eye, which shrinks as the head turns
_IRIS_DOWN = 0.20  # half its height, by the width of the wider eye
_FOREHEAD = 0.225  # from the brows up to the outline's top, by the way from the brows to the chin
_NOSE_DEPTH = 0.35  # of the nose's base before the eyes, by the distance between the eyes
_NOSE_X = (0.42, 0.33, 0.57, 0.57, 0.81, 1.02, 1.13, 1.11, 1.12, 1.0, 0.5)
_NOSE_Y = (0.01, 0.19, 0.39, 0.51, 0.58, 0.65, 0.75, 0.82, 0.87, 0.95, 0.99)

_EYES = (  # outer corner over the lower lid to the inner corner, and back over the upper lid
    (Component.RIGHT_EYE, (60, 67, 66, 65, 64), (64, 63, 62, 61, 60)),
    (Component.LEFT_EYE, (72, 73, 74, 75, 68), (68, 69, 70, 71, 72)),
)
_BROWS = (  # the lower edge from the outer to the inner end, and back over the upper edge
    (Component.RIGHT_BROW, (33, 41, 40, 39, 38, 37, 36, 35, 34, 33)),
    (Component.LEFT_BROW, (46, 47, 48, 49, 50, 42, 43, 44, 45, 46)),
)
_MOUTH: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (  # from the right corner to the left one
    (OUTER_MOUTH_RINGS[0], (76, 77, 78, 79, 80, 81, 82)),
    (OUTER_MOUTH_RINGS[1], (76, 87, 86, 85, 84, 83, 82)),
    (INNER_MOUTH_RINGS[0], (88, 89, 90, 91, 92)),
    (INNER_MOUTH_RINGS[1], (88, 95, 94, 93, 92)),
)


def iris_axes(points: np.ndarray, iris: Component) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An iris as an ellipse.

    WFLW knows the pupil only. An iris is as large in everyone as seen against the eye's width.

    Args:
        points: (98, 2).
    Returns:
        its centre, and its half axes along and across the eye, (2,) each; the first points to the picture's right.
    """
    (outer, inner), (far_outer, far_inner) = _CORNERS[iris], _CORNERS[_OTHER[iris]]
    way = points[inner] - points[outer]
    along = way if iris is Component.RIGHT_IRIS else -way
    width = max(float(np.linalg.norm(way)), 1e-6)
    wider = max(width, float(np.linalg.norm(points[far_inner] - points[far_outer])))
    across = np.array((-along[1], along[0])) / width
    return points[_PUPIL[iris]], along * _IRIS_ACROSS, across * (wider * _IRIS_DOWN)


def mesh_from_wflw(points: np.ndarray) -> np.ndarray:
    """MediaPipe's landmarks as far as WFLW's tell: all outlines, irises and the contour.

    The forehead, which WFLW leaves out, is guessed from the rest of the face, and so is the nose's depth. The mesh
    between the outlines is not known: its points lie in the face's middle.

    Args:
        points: (98, 2) in pixels.
    Returns:
        (478, 3) float32 in pixels.
    """
    points = points.astype(np.float64)
    mesh = np.tile(points[51:60].mean(axis=0), (NUM_LANDMARKS, 1))
    for eye, lower, upper in _EYES:
        mesh[RINGS[eye][:9]] = _along(points[list(lower)], 9)
        mesh[RINGS[eye][9:]] = _along(points[list(upper)], 9)[1:-1]
    for brow, both in _BROWS:
        mesh[RINGS[brow]] = points[list(both)]
    for ring, edge in _MOUTH:
        mesh[list(ring)] = _along(points[list(edge)], len(ring))
    mesh[RINGS[Component.FACE]] = _contour(points)
    for iris in _PUPIL:
        centre, along, down = iris_axes(points, iris)
        mesh[_CENTRE[iris]] = centre
        mesh[RINGS[iris]] = centre + np.stack([along, -down, -along, down])
    nose, share = _nose(points)
    mesh[RINGS[Component.NOSE]] = nose
    depth = np.zeros(NUM_LANDMARKS)
    depth[RINGS[Component.NOSE]] = -_NOSE_DEPTH * share * np.linalg.norm(points[97] - points[96])
    return np.concatenate([mesh, depth[:, None]], axis=1).astype(np.float32)


def _nose(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nose's outline (24, 2), and how far down the nose each of its points is, 0 to 1."""
    across = np.array((0.0, *_NOSE_X, 0.0, *(-x for x in reversed(_NOSE_X))))
    down = np.array((0.0, *_NOSE_Y, 1.0, *reversed(_NOSE_Y)))
    root, base, half = points[51], points[57], (points[59] - points[55]) / 2
    return root + across[:, None] * half + down[:, None] * (base - root), down


def _contour(points: np.ndarray) -> np.ndarray:
    """The face's outline (36, 2): WFLW's from temple to temple, closed by half an ellipse over the forehead."""
    brows, chin = (points[37] + points[42]) / 2, points[16]
    top = brows + (brows - chin) * _FOREHEAD
    right, left = points[0], points[32]
    middle, half = (right + left) / 2, (left - right) / 2
    turns = np.arange(1, 7) * (np.pi / 14)
    over = (top - middle) * np.cos(turns)[:, None]
    aside = half * np.sin(turns)[:, None]
    lower = _along(points[32::-1], 23)
    return np.concatenate([top[None], middle + over + aside, lower, (middle + over - aside)[::-1]])


def _along(line: np.ndarray, count: int) -> np.ndarray:
    """``count`` points in equal steps along a line through points, its ends included."""
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    way = np.concatenate([[0.0], np.cumsum(steps)])
    at = np.linspace(0.0, way[-1], count)
    return np.stack([np.interp(at, way, line[:, axis]) for axis in (0, 1)], axis=1)
