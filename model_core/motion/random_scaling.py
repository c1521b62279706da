"""Random scaling (VividPortraits, training only): takes the driver's proportions out of the motion signal.

Without it the network learns to read the identity off the parsing map (their Table 2: identity similarity
0.305 instead of 0.493). The paper removes the contour, scales each component about its own centre by
U(0.8, 1.2), then the whole face by U(0.7, 1.3), which changes the spacing; the face's place in the image
and the components' relative positions are kept. The contour is never drawn (parsing_map.py); the two
scalings act on the landmarks, so that the drawing stays crisp.

Where the paper is silent: an eye scales together with its iris, which keeps the gaze, and both lips with the
open mouth, which keeps the mouth whole. A component's centre is the mean of its outline, the face's centre
the mean of the components' centres.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from ..errors import InputError
from ..types import Component
from .components import LEFT_IRIS_CENTRE, OUTER_MOUTH, RIGHT_IRIS_CENTRE, RINGS

COMPONENT_RANGE = (0.8, 1.2)
FACE_RANGE = (0.7, 1.3)

_Group = tuple[np.ndarray, np.ndarray]


def _group(outline: np.ndarray, *others: np.ndarray) -> _Group:
    return outline, np.unique(np.concatenate((outline, *others)))


GROUPS: tuple[_Group, ...] = (
    _group(RINGS[Component.LEFT_BROW]),
    _group(RINGS[Component.RIGHT_BROW]),
    _group(RINGS[Component.LEFT_EYE], RINGS[Component.LEFT_IRIS], np.array([LEFT_IRIS_CENTRE])),
    _group(RINGS[Component.RIGHT_EYE], RINGS[Component.RIGHT_IRIS], np.array([RIGHT_IRIS_CENTRE])),
    _group(RINGS[Component.NOSE]),
    _group(OUTER_MOUTH, RINGS[Component.INNER_MOUTH]),
)
"""What scales as one: (the landmarks of an outline, whose mean is the centre; all the landmarks to move)."""


def random_scaling(
    landmarks: np.ndarray,
    rng: Generator,
    *,
    component_range: tuple[float, float] = COMPONENT_RANGE,
    face_range: tuple[float, float] = FACE_RANGE,
) -> np.ndarray:
    """Scale every component about its own centre, then the whole face about the face's centre.

    The same ``rng`` state gives the same factors whatever the landmarks: the frames of a clip can share them.

    Args:
        landmarks: (..., 478, 2 or 3), one face or the frames of a clip, all scaled by the same factors.
        rng: draws one factor per component of ``GROUPS``, then one for the face.
        component_range, face_range: (low, high) of the uniform distributions; 0 < low <= high.
    Returns:
        a new array of the same shape and dtype.
    Raises:
        InputError: a range is empty or not positive.
    """
    for name, (low, high) in (("component_range", component_range), ("face_range", face_range)):
        if not 0 < low <= high:
            raise InputError(f"{name} ({low}, {high}): needs 0 < low <= high, such as (0.8, 1.2)")
    factors = rng.uniform(*component_range, size=len(GROUPS))
    return scale_components(landmarks, factors, face_factor=rng.uniform(*face_range))


def scale_components(landmarks: np.ndarray, factors: np.ndarray, *, face_factor: float) -> np.ndarray:
    """The scaling itself, with given factors.

    Args:
        landmarks: (..., 478, 2 or 3).
        factors: (6,), by position in ``GROUPS``.
        face_factor: of the whole face.
    Returns:
        a new array of the same shape and dtype; exactly the input where every factor is 1.
    """
    scaled = landmarks.copy()
    centres = [landmarks[..., outline, :].mean(axis=-2, keepdims=True) for outline, _ in GROUPS]
    for (_, members), centre, factor in zip(GROUPS, centres, factors, strict=True):
        scaled[..., members, :] = _about(landmarks[..., members, :], centre, factor)
    face_centre = np.mean(centres, axis=0)
    return _about(scaled, face_centre, face_factor).astype(landmarks.dtype, copy=False)


def _about(points: np.ndarray, centre: np.ndarray, factor: float) -> np.ndarray:
    # written as a change that is exactly zero at factor 1
    return points + (points - centre) * points.dtype.type(factor - 1.0)
