"""The driver's expression, gaze and head movement on the portrait's own face.

Seen from its own head, the driver's face is compared with itself at rest; the difference, in sizes of the face, is
added to the portrait's face, which is then turned and moved as the driver's head has turned and moved since rest. So
proportions stay the portrait's. Lids, lips and irises are carried over in the portrait's own measure (features.py).

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
from ..types import EDIT_COLUMNS, Component, FaceTrack
from .alignment import face_centre, face_size, face_sizes
from .components import OUTER_MOUTH, RINGS
from .editing import add_expression, edited_gaze, edited_lids, head_edits
from .expressions import expression_offsets, neutral_face
from .features import correct_lips, gaze, keep_lips_in_contact, lid_shares, open_lids, place_irises
from .head import rotation, rotation_matrix, rotation_vector
from .response import Response, response_of, shown_gaze, shown_lids
from .strength import MotionStrength

Turning = Literal["relative", "absolute"]

COEFFICIENT_SHARE = 0.5
"""How much of the expression comes from blendshape coefficients; the rest from the driver's own landmarks."""

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
        driving: F frames with depth, in the driving video's pixels; its edits are added to what it does.
        reference: the portrait's face, one frame; where it knows how it reads (``FaceTrack.readings``), expressions
            are read on it as far as on the driver, else they are left as the landmarks have them.
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
    weights = _region_weights(own, strength)[:, None]
    made = own + change * weights
    keep_lips_in_contact(made, own, shape, neutral, strength.mouth)
    shares, moved = lid_shares(shape, neutral), gaze(shape, neutral)
    response = None if reference.readings is None else response_of(reference.readings)
    if response is not None and driving.blendshapes is not None and rest.blendshapes is not None:
        wanted = driving.blendshapes - rest.blendshapes
        offsets, shares, moved = _as_read(response, own, change, shape, neutral, wanted)
        correct_lips(made, offsets * weights, shape, neutral)
    shares = [1 + (share - 1) * strength.eyes for share in shares]
    moved = [move * strength.gaze for move in moved]
    edits = np.zeros((1, EDIT_COLUMNS)) if driving.edits is None else driving.edits.astype(np.float64)
    if driving.edits is not None:
        add_expression(made, edits)
        shares, moved = edited_lids(shares, edits), edited_gaze(moved, own, edits)
    open_lids(made, own, shares)
    place_irises(made, own, moved)

    since_rest = _turn_since_rest(driving, rest, still_held, turns)
    if response is not None:
        since_rest -= response.misread_turn(made - own, np.zeros((len(made), 1)))
    added_turn, added_way, added_scale = head_edits(edits)
    turn, beyond = _head_turn(held, still_held, since_rest * strength.head_rotation, added_turn, turning)
    nearer = nearer**strength.head_translation * added_scale
    way = (centres - face_centre(still)) * (size / still_size) * strength.head_translation + added_way * size
    placed = made @ np.swapaxes(turn, -1, -2) * (nearer * size)[:, None, None]
    placed = (placed + (face_centre(portrait) + way)[:, None]).astype(np.float32)
    boxes = np.concatenate([placed[..., :2].min(axis=1), placed[..., :2].max(axis=1)], axis=1)
    track = replace(
        driving, landmarks=placed, boxes=boxes, size=reference.size, label_maps=None, poses=None, edits=None
    )
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


def _as_read(
    response: Response, own: np.ndarray, change: np.ndarray, shape: np.ndarray, neutral: np.ndarray, wanted: np.ndarray
) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """What makes the portrait read as the driver: offsets (F, 478, 3), shares of the lids, movements of the irises."""
    made = own + change
    keep_lips_in_contact(made, own, shape, neutral, 1.0)
    shares, moved = shown_lids(lid_shares(shape, neutral)), shown_gaze(gaze(shape, neutral))
    opening = np.mean([share.mean(axis=1) for share in shares], axis=0)[:, None]
    correction = response.correct(made - own, 1 - opening, wanted)
    closing = correction.lids * np.clip(opening, 0, 1)  # shut lids stay shut
    return correction.offsets, [share - closing for share in shares], moved


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


def _turn_since_rest(driving: FaceTrack, rest: FaceTrack, still_held: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """How the driver's head has turned since rest: rotation vectors (F, 3) about its own axes.

    The analyser's own poses are the better ones, since they take the camera into account.
    """
    if driving.poses is None or rest.poses is None:
        return rotation_vector(still_held.T @ turns)
    heads, still = (rotation_matrix(poses.astype(np.float64)) for poses in (driving.poses, rest.poses))
    return rotation_vector(np.swapaxes(still, -1, -2) @ heads)


def _head_turn(
    held: np.ndarray, still_held: np.ndarray, since_rest: np.ndarray, added: np.ndarray, turning: Turning
) -> tuple[np.ndarray, np.ndarray]:
    """The portrait's head in every frame, (F, 3, 3) from upright, and the frames in which it was limited.

    A turn is bounded where the mesh would fold over: the picture shows nothing of the far side.
    """
    start = held if turning == "relative" else still_held
    wanted = start @ rotation_matrix(since_rest) @ rotation_matrix(added)
    away = rotation_vector(held.T @ wanted)
    angle = np.linalg.norm(away[:, :2], axis=1)  # a tilt in the picture's plane hides nothing
    over, room = np.maximum(angle - _FREE_TURN, 0), _MOST_TURN - _FREE_TURN
    bounded = np.minimum(angle, _FREE_TURN) + room * np.tanh(over / room)
    away[:, :2] *= (bounded / np.maximum(angle, 1e-9))[:, None]
    return held @ rotation_matrix(away), over > 0
