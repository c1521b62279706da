"""The driver's expression, gaze and head movement on the portrait's own face.

Seen from its own head, the driver's face is compared with itself at rest; the difference, in sizes of the face, is
added to the portrait's face, which is then turned and moved as the driver's head has turned and moved since rest. So
proportions stay the portrait's. What holds between two people is not always an offset, so three things are carried
over in the portrait's own measure:

- lids by share: lids that close to 30 % of the driver's opening close to 30 % of the portrait's;
- lips keep contact: lips that touch go on touching, whatever the two mouths' shapes;
- irises by place: between the corners of the eye, relative to rest.

Where the analyser gives blendshape coefficients, half of the expression comes from them (motion/expressions.py): what
they say does not depend on the driver's proportions, but they know neither asymmetry nor the lips' fine detail.

Source of the idea: mayuelala/FollowYourEmoji, media_pipe/__init__.py (FaceMeshAlign) @ 8e42c5f, and its paper's
expression-aware landmarks. Differs: heads are compared with each other (Kabsch) instead of each with MediaPipe's
canonical head, the camera is far away (weak perspective) instead of one of 63 degrees, and the three rules are ours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ..errors import InputError
from ..types import Component, FaceTrack
from .alignment import face_centre, face_size, face_sizes
from .components import CORNERS, LEFT_IRIS_CENTRE, OUTER_MOUTH, RIGHT_IRIS_CENTRE, RINGS
from .expressions import expression_offsets, neutral_face
from .head import rotation, rotation_matrix, rotation_vector
from .strength import MotionStrength

Turning = Literal["relative", "absolute"]

COEFFICIENT_SHARE = 0.5
"""How much of the expression comes from blendshape coefficients; the rest from the driver's own landmarks."""

_EYES = (
    (Component.LEFT_EYE, Component.LEFT_IRIS, LEFT_IRIS_CENTRE),
    (Component.RIGHT_EYE, Component.RIGHT_IRIS, RIGHT_IRIS_CENTRE),
)
_LIDS = tuple(
    (RINGS[eye][:0:-1][: len(RINGS[eye]) // 2 - 1], RINGS[eye][1 : len(RINGS[eye]) // 2]) for eye, _, _ in _EYES
)
"""Per eye: the upper lid's landmarks and the lower lid's under them, between the corners."""

_UPPER_LIP = np.array(
    [
        (191, 80, 81, 82, 13, 312, 311, 310, 415),
        (183, 42, 41, 38, 12, 268, 271, 272, 407),
        (184, 74, 73, 72, 11, 302, 303, 304, 408),
        (185, 40, 39, 37, 0, 267, 269, 270, 409),
    ]
)
_LOWER_LIP = np.array(
    [
        (95, 88, 178, 87, 14, 317, 402, 318, 324),
        (96, 89, 179, 86, 15, 316, 403, 319, 325),
        (77, 90, 180, 85, 16, 315, 404, 320, 307),
        (146, 91, 181, 84, 17, 314, 405, 321, 375),
    ]
)
"""The mesh's rows along each lip, from the line where the lips meet to its outer edge; corners left out."""

_CONTACT = 0.12  # face sizes between the lips, up to which contact counts more than offsets
_LOWEST_SHARE = 0.15  # of its opening: what the landmarker leaves open of an eye that is shut
_WIDEST_SHARE = 1.6
_LEAST_OPENING = 0.08  # face sizes: a driver at rest whose eyes are less open says nothing about opening
_LARGEST_OFFSET = 0.7  # face sizes: no expression moves a landmark farther; a broken track does
_FREE_TURN, _MOST_TURN = np.radians(35.0), np.radians(55.0)
_REGION_EDGE = 0.08  # face sizes over which one region of the face fades into the next


@dataclass(frozen=True)
class Retargeted:
    """A driver's motion on the portrait's face.

    Attributes:
        track: F frames in the portrait's pixels, without label maps.
        limited: (F,) bool, where the head would have turned too far or the landmarks moved farther than a face does.
    """

    track: FaceTrack
    limited: np.ndarray


def retarget(
    driving: FaceTrack,
    reference: FaceTrack,
    *,
    rest: FaceTrack,
    strength: MotionStrength | None = None,
    turning: Turning = "relative",
) -> Retargeted:
    """Make the portrait's face do what the driving face does.

    A portrait whose eyes are closed keeps them closed, as there is nothing to open; one whose mouth is open keeps that
    opening at rest, and closes as far as the driver's mouth closes from its own. A driver at rest with closed eyes
    takes a usual opening as its own.

    Args:
        driving: F frames with depth, in the driving video's pixels.
        reference: the portrait's face, one frame.
        rest: the driving face in the frame whose expression and pose are the portrait's own, one frame.
        strength: None takes all motion as it is.
        turning: "relative": a portrait in three-quarter view stays in it and turns from there. "absolute": the head is
            held as the driver's is.
    Raises:
        InputError: a reference or a rest of several frames, or a face without extent.
    """
    strength = strength or MotionStrength()
    portrait, still = _one_face(reference, "reference"), _one_face(rest, "driving at rest")
    points = driving.landmarks.astype(np.float64)
    size, still_size = face_size(portrait), face_size(still)
    if not (size > 0 and still_size > 0):
        raise InputError("driving or reference: the face has no extent; analyse it again")
    upright = neutral_face()
    own = (portrait - face_centre(portrait)) / size
    held, still_held = rotation(upright, own), rotation(upright, still)
    own = own @ held
    neutral = (still - face_centre(still)) / still_size @ still_held

    turns = rotation(still, points) @ still_held  # (F, 3, 3): upright to the driver's head
    centres, nearer = face_centre(points), face_sizes(points) / still_size
    shape = (points - centres[:, None]) @ turns / (nearer * still_size)[:, None, None]

    change, far = _expression(shape - neutral, driving, rest)
    made = own + change * _region_weights(own, strength)[:, None]
    _lids_by_share(made, own, shape, neutral, strength.eyes)
    _lips_keep_contact(made, own, shape, neutral, strength.mouth)
    _irises_by_place(made, own, shape, neutral, strength.gaze)

    turn, beyond = _head_turn(held, still_held, turns, strength.head_rotation, turning)
    nearer = nearer**strength.head_translation
    way = (centres - face_centre(still)) * (size / still_size) * strength.head_translation
    placed = made @ np.swapaxes(turn, -1, -2) * (nearer * size)[:, None, None]
    placed = (placed + (face_centre(portrait) + way)[:, None]).astype(np.float32)
    boxes = np.concatenate([placed[..., :2].min(axis=1), placed[..., :2].max(axis=1)], axis=1)
    track = replace(driving, landmarks=placed, boxes=boxes, size=reference.size, label_maps=None)
    return Retargeted(track, far | beyond)


def _one_face(track: FaceTrack, name: str) -> np.ndarray:
    if len(track) != 1:
        raise InputError(f"{name}: a face track of {len(track)} frames; take one, such as track.take([0])")
    return track.landmarks[0].astype(np.float64)


def _expression(offsets: np.ndarray, driving: FaceTrack, rest: FaceTrack) -> tuple[np.ndarray, np.ndarray]:
    """What the expression moves, (F, 478, 3) in face sizes, head upright; and the frames in which that was limited."""
    if driving.blendshapes is not None and rest.blendshapes is not None:
        said = expression_offsets(driving.blendshapes - rest.blendshapes)
        offsets = (1 - COEFFICIENT_SHARE) * offsets + COEFFICIENT_SHARE * said
    length = np.linalg.norm(offsets, axis=-1, keepdims=True)
    scale = np.minimum(1.0, _LARGEST_OFFSET / np.maximum(length, 1e-9))
    return offsets * scale, (length[..., 0] > _LARGEST_OFFSET).any(axis=1)


def _region_weights(own: np.ndarray, strength: MotionStrength) -> np.ndarray:
    """(478,) the strength at each landmark: of the nearest of brows, eyes and mouth, fading over their borders."""
    regions = (
        np.concatenate([RINGS[Component.LEFT_BROW], RINGS[Component.RIGHT_BROW]]),
        np.concatenate([RINGS[Component.LEFT_EYE], RINGS[Component.RIGHT_EYE]]),
        OUTER_MOUTH,
    )
    distances = np.stack(
        [np.linalg.norm(own[:, None] - own[None, region], axis=-1).min(axis=1) for region in regions], axis=1
    )
    shares = np.exp(-(distances - distances.min(axis=1, keepdims=True)) / _REGION_EDGE)
    shares /= shares.sum(axis=1, keepdims=True)
    return shares @ np.array([strength.brows, strength.eyes, strength.mouth])


def _lids_by_share(made: np.ndarray, own: np.ndarray, shape: np.ndarray, neutral: np.ndarray, strength: float) -> None:
    """Open each eye to the driver's share of its own opening, in place.

    Args:
        made: (F, 478, 3), the portrait's face so far.
        own, neutral: (478, 3), portrait and driver at rest.
        shape: (F, 478, 3), the driver.
    """
    for upper, lower in _LIDS:
        opening = np.maximum(neutral[lower, 1] - neutral[upper, 1], _LEAST_OPENING * _lid_profile(len(upper)))
        share = (shape[:, lower, 1] - shape[:, upper, 1]) / opening
        share = (np.clip(share, 0, None) - _LOWEST_SHARE) / (1 - _LOWEST_SHARE)
        share = np.clip(1 + (share - 1) * strength, 0, _WIDEST_SHARE)
        lowered = 0.5 * (made[:, lower, 1] - own[lower, 1])
        made[:, lower, 1] = own[lower, 1] + lowered
        made[:, upper, 1] = made[:, lower, 1] - np.maximum(own[lower, 1] - own[upper, 1], 0) * share


def _lid_profile(count: int) -> np.ndarray:
    """How far an eye is open between its corners, relative to the middle."""
    return np.sin(np.arange(1, count + 1) / (count + 1) * np.pi)


def _lips_keep_contact(
    made: np.ndarray, own: np.ndarray, shape: np.ndarray, neutral: np.ndarray, strength: float
) -> None:
    """Close the mouth where the driver closes his, whatever the two mouths' shapes, in place; as ``_lids_by_share``.

    The lips move whole, so that they keep their thickness. A mouth that is well open is left as the expression has it.
    """
    upper, lower = _UPPER_LIP[0], _LOWER_LIP[0]
    gap, gap_at_rest, gap_made = (
        np.maximum(face[..., lower, 1] - face[..., upper, 1], 0) for face in (shape, neutral, made)
    )
    gap_own = np.maximum(own[lower, 1] - own[upper, 1], 0)
    opened = gap_own + (gap - gap_at_rest) * strength
    closed = gap_own * (1 + (gap / np.maximum(gap_at_rest, 1e-3) - 1) * strength)
    wanted = np.maximum(np.where(gap > gap_at_rest, opened, closed), 0)
    nearly_shut = np.exp(-np.square(gap / _CONTACT))
    way = np.where(made[:, lower, 1] < made[:, upper, 1], 1.0, nearly_shut)  # crossed lips always part
    change = way * (wanted - (made[:, lower, 1] - made[:, upper, 1]))
    for rows, share in ((_UPPER_LIP, -0.5), (_LOWER_LIP, 0.5)):
        made[:, rows, 1] += share * change[:, None]


def _irises_by_place(
    made: np.ndarray, own: np.ndarray, shape: np.ndarray, neutral: np.ndarray, strength: float
) -> None:
    """Move each iris whole, as far between the corners as the driver's has moved since rest; as ``_lids_by_share``."""
    for eye, iris, centre in _EYES:
        members = np.array([centre, *RINGS[iris]])
        moved = _in_eye(shape, centre, eye) - _in_eye(neutral, centre, eye)
        corners = made[:, list(CORNERS[eye]), :2]
        along = corners[:, 1] - corners[:, 0]
        across = np.stack([-along[:, 1], along[:, 0]], axis=1)
        rest = own[members, :2] - own[list(CORNERS[eye]), :2].mean(axis=0)
        way = strength * (moved[:, :1] * along + moved[:, 1:] * across)
        made[:, members, :2] = (corners.mean(axis=1) + way)[:, None] + rest


def _in_eye(faces: np.ndarray, point: int, eye: Component) -> np.ndarray:
    """A landmark's place (..., 2) along and across the line between an eye's corners, in lengths of that line."""
    first, last = (faces[..., corner, :2] for corner in CORNERS[eye])
    along, away = last - first, faces[..., point, :2] - (first + last) / 2
    length = np.maximum(np.square(along).sum(axis=-1), 1e-12)
    parallel = (away * along).sum(axis=-1) / length
    normal = (away[..., 1] * along[..., 0] - away[..., 0] * along[..., 1]) / length
    return np.stack([parallel, normal], axis=-1)


def _head_turn(
    held: np.ndarray, still_held: np.ndarray, turns: np.ndarray, strength: float, turning: Turning
) -> tuple[np.ndarray, np.ndarray]:
    """The portrait's head in every frame, (F, 3, 3) from upright, and the frames in which it was limited.

    A turn is bounded where the mesh would fold over: the picture shows nothing of the far side.
    """
    start = held if turning == "relative" else still_held
    since_rest = rotation_vector(still_held.T @ turns)  # about the head's own axes
    wanted = start @ rotation_matrix(since_rest * strength)
    away = rotation_vector(held.T @ wanted)
    angle = np.linalg.norm(away[:, :2], axis=1)  # a tilt in the picture's plane hides nothing
    over, room = np.maximum(angle - _FREE_TURN, 0), _MOST_TURN - _FREE_TURN
    bounded = np.minimum(angle, _FREE_TURN) + room * np.tanh(over / room)
    away[:, :2] *= (bounded / np.maximum(angle, 1e-9))[:, None]
    return held @ rotation_matrix(away), over > 0
