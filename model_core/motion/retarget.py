"""The driver's expression and head movement on the portrait's own face.

``alignment`` moves the driving face as a whole, so its proportions stay the driver's. Here they become the portrait's:
what the driver's face does relative to itself at rest, seen from its own head, is added to the portrait's face, which
is then turned as the driver's head is turned. Eyes and mouth open from where the portrait's are.

Source: mayuelala/FollowYourEmoji, media_pipe/__init__.py (FaceMeshAlign) @ 8e42c5f, and its paper's expression-aware
landmarks. Differs: heads are compared with each other (Kabsch) instead of each with MediaPipe's canonical head, and
the camera is far away (weak perspective) instead of one of 63 degrees.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from ..errors import InputError
from ..types import Component, FaceTrack
from .alignment import face_centre, face_size, resting_landmarks
from .components import CORNERS, LEFT_IRIS_CENTRE, RIGHT_IRIS_CENTRE, RINGS

_FOREHEAD = (*RINGS[Component.FACE][:8].tolist(), *RINGS[Component.FACE][-7:].tolist())
_BRIDGE = (168, 6, 197, 195, 5, 4, 2)
_SKULL = np.array([*CORNERS[Component.LEFT_EYE], *CORNERS[Component.RIGHT_EYE], *_BRIDGE, *_FOREHEAD])
"""Landmarks that hardly move when the face does: corners of the eyes, the nose's ridge, forehead and temples."""

_EYES = tuple(
    (RINGS[eye], np.array([centre, *RINGS[iris]]))
    for eye, iris, centre in (
        (Component.LEFT_EYE, Component.LEFT_IRIS, LEFT_IRIS_CENTRE),
        (Component.RIGHT_EYE, Component.RIGHT_IRIS, RIGHT_IRIS_CENTRE),
    )
)


def retarget(
    driving: FaceTrack,
    reference: FaceTrack,
    *,
    driving_rest_frame: int | Literal["frontal"] = 0,
    rest: np.ndarray | None = None,
) -> FaceTrack:
    """Make the portrait's face do what the driving face does.

    Args:
        driving: F frames with depth, in the driving video's pixels.
        reference: the portrait's face, one frame.
        driving_rest_frame: the frame whose expression is the portrait's own, see ``alignment.placement``.
        rest: (478, 3), the driving face in that frame, where ``driving`` is a part of a clip and has not got it.
    Returns:
        F frames in the reference image's pixels, without label maps. Place and size of the head change as the
        driver's do from the rest frame on; its rotation is the driver's.
    Raises:
        InputError: a reference of several frames, no such rest frame, or a face without extent.
    """
    if len(reference) != 1:
        raise InputError(f"reference: a face track of {len(reference)} frames; take one, such as track.take([0])")
    portrait = reference.landmarks[0].astype(np.float64)
    rest = resting_landmarks(driving, driving_rest_frame) if rest is None else rest.astype(np.float64)
    size, rest_size = face_size(portrait), face_size(rest)
    if not (size > 0 and rest_size > 0):
        raise InputError("driving or reference: the face has no extent; analyse it again")
    own, still = (portrait - face_centre(portrait)) / size, (rest - face_centre(rest)) / rest_size
    own = own @ rotation(own, still).T  # turned as the driver is at rest
    made = np.empty((len(driving), *portrait.shape), dtype=np.float32)
    for frame, points in enumerate(driving.landmarks.astype(np.float64)):
        head = (points - face_centre(points)) / rest_size
        turn = rotation(still, head)
        nearer = face_size(points) / rest_size
        expression = head @ turn / nearer - still
        place = face_centre(portrait) + (face_centre(points) - face_centre(rest)) * (size / rest_size)
        made[frame] = place + (own + expression) @ turn.T * (nearer * size)
        _look(made[frame], points)
    low, high = made[..., :2].min(axis=1), made[..., :2].max(axis=1)
    boxes = np.concatenate([low, high], axis=1)
    return replace(driving, landmarks=made, boxes=boxes, size=reference.size, label_maps=None)


def rotation(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The (3, 3) rotation R that brings one head's landmarks nearest to another's: ``target = source @ R.T``.

    Source: Kabsch, "A solution for the best rotation to relate two sets of vectors", 1976; over the landmarks that
    expressions leave alone.
    """
    first, second = (points[_SKULL] - points[_SKULL].mean(axis=0) for points in (source, target))
    u, _, vt = np.linalg.svd(first.T @ second)
    mirror = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    return (u @ mirror @ vt).T


def _look(made: np.ndarray, driver: np.ndarray) -> None:
    """Put each iris where the driver's is between the corners and the lids of its eye, in place."""
    for eye, iris in _EYES:
        low, extent = driver[eye, :2].min(axis=0), np.ptp(driver[eye, :2], axis=0)
        own_low, own_extent = made[eye, :2].min(axis=0), np.ptp(made[eye, :2], axis=0)
        made[iris, :2] = own_low + (driver[iris, :2] - low) / np.maximum(extent, 1e-6) * own_extent
