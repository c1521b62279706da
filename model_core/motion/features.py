"""Lids, lips and irises move in the portrait's own measure: what holds between two people is not always an offset.

- lids by share: lids that close to 30 % of the driver's opening close to 30 % of the portrait's;
- lips keep contact: lips that touch go on touching, whatever the two mouths' shapes;
- irises by place: between the corners of the eye, relative to rest.

Every face here is held upright, in sizes of the face: ``made`` (F, 478, 3) is the portrait's so far and is changed in
place, ``own`` and ``neutral`` (478, 3) are the portrait and the driver at rest, ``shape`` (F, 478, 3) is the driver.
"""

from __future__ import annotations

import numpy as np

from ..types import Component
from .components import CORNERS, LEFT_IRIS_CENTRE, RIGHT_IRIS_CENTRE, RINGS

_EYES = (
    (Component.LEFT_EYE, Component.LEFT_IRIS, LEFT_IRIS_CENTRE),
    (Component.RIGHT_EYE, Component.RIGHT_IRIS, RIGHT_IRIS_CENTRE),
)
_LIDS = tuple(
    (RINGS[eye][:0:-1][: len(RINGS[eye]) // 2 - 1], RINGS[eye][1 : len(RINGS[eye]) // 2]) for eye, _, _ in _EYES
)
"""Per eye: the upper lid's landmarks and the lower lid's under them, between the corners."""

UPPER_LIP = np.array(
    [
        (191, 80, 81, 82, 13, 312, 311, 310, 415),
        (183, 42, 41, 38, 12, 268, 271, 272, 407),
        (184, 74, 73, 72, 11, 302, 303, 304, 408),
        (185, 40, 39, 37, 0, 267, 269, 270, 409),
    ]
)
LOWER_LIP = np.array(
    [
        (95, 88, 178, 87, 14, 317, 402, 318, 324),
        (96, 89, 179, 86, 15, 316, 403, 319, 325),
        (77, 90, 180, 85, 16, 315, 404, 320, 307),
        (146, 91, 181, 84, 17, 314, 405, 321, 375),
    ]
)
"""The mesh's rows along each lip, from the line where the lips meet to its outer edge; corners left out."""

_CONTACT = 0.12  # face sizes between the lips, up to which contact counts more than offsets
_TOUCH = 0.03  # face sizes between lips that are as good as shut
_IRIS_REACH = np.array([0.28, 0.16])
"""How far along and across the eye, in its lengths, the middle of an iris goes: lids and corners hide the rest."""

_LOWEST_SHARE = 0.15  # of its opening: what the landmarker leaves open of an eye that is shut
_WIDEST_SHARE = 1.6
_LEAST_OPENING = 0.08  # face sizes: a driver at rest whose eyes are less open says nothing about opening


def lid_shares(shape: np.ndarray, neutral: np.ndarray) -> list[np.ndarray]:
    """Per eye (F, lid landmarks): how far the driver's lids are open, 1 as at rest, 0 shut."""
    shares = []
    for upper, lower in _LIDS:
        gap, gap_at_rest = (np.maximum(face[..., lower, 1] - face[..., upper, 1], 0) for face in (shape, neutral))
        opening = np.maximum(gap_at_rest, _LEAST_OPENING * _lid_profile(len(upper)))
        share = 1 + (gap - gap_at_rest) / opening
        shares.append((np.clip(share, 0, None) - _LOWEST_SHARE) / (1 - _LOWEST_SHARE))
    return shares


def open_lids(made: np.ndarray, own: np.ndarray, shares: list[np.ndarray]) -> None:
    """Open each eye to a share of the portrait's own opening, as ``lid_shares`` gives them."""
    for (upper, lower), share in zip(_LIDS, shares, strict=True):
        share = np.clip(share, 0, _WIDEST_SHARE)
        lowered = 0.5 * (made[:, lower, 1] - own[lower, 1])
        made[:, lower, 1] = own[lower, 1] + lowered
        made[:, upper, 1] = made[:, lower, 1] - np.maximum(own[lower, 1] - own[upper, 1], 0) * share


def close_lids(made: np.ndarray, own: np.ndarray, closed: np.ndarray) -> None:
    """Close the lids by a share (F, 1) of the portrait's own opening."""
    for upper, lower in _LIDS:
        opening = np.maximum(own[lower, 1] - own[upper, 1], 0)
        made[:, upper, 1] += np.minimum(closed * opening, np.maximum(made[:, lower, 1] - made[:, upper, 1], 0))


def _lid_profile(count: int) -> np.ndarray:
    """How far an eye is open between its corners, relative to the middle."""
    return np.sin(np.arange(1, count + 1) / (count + 1) * np.pi)


def keep_lips_in_contact(
    made: np.ndarray, own: np.ndarray, shape: np.ndarray, neutral: np.ndarray, strength: float
) -> None:
    """Close the mouth where the driver closes his, whatever the two mouths' shapes.

    The lips move whole, so that they keep their thickness. A mouth that is well open is left as the expression has it.
    """
    upper, lower = UPPER_LIP[0], LOWER_LIP[0]
    gap, gap_at_rest = (lip_gap(face) for face in (shape, neutral))
    gap_own = lip_gap(own)
    opened = gap_own + (gap - gap_at_rest) * strength
    closed = gap_own * (1 + (gap / np.maximum(gap_at_rest, 1e-3) - 1) * strength)
    wanted = np.maximum(np.where(gap > gap_at_rest, opened, closed), 0)
    nearly_shut = np.exp(-np.square(gap / _CONTACT))
    way = np.where(made[:, lower, 1] < made[:, upper, 1], 1.0, nearly_shut)  # crossed lips always part
    _part_lips(made, way * (wanted - (made[:, lower, 1] - made[:, upper, 1])))


def correct_lips(made: np.ndarray, offsets: np.ndarray, shape: np.ndarray, neutral: np.ndarray) -> None:
    """Add offsets (F, 478, 3) to the face; where the driver's lips are shut they stay as far apart as they were."""
    upper, lower = UPPER_LIP[0], LOWER_LIP[0]
    gap = np.maximum(lip_gap(shape) - np.minimum(lip_gap(neutral), _TOUCH), 0)
    before = made[:, lower, 1] - made[:, upper, 1]
    made += offsets
    after = made[:, lower, 1] - made[:, upper, 1]
    shut = np.exp(-np.square(gap / _TOUCH))
    wanted = np.maximum(after + shut * (before - after), 0)
    _part_lips(made, wanted - after)


def lip_gap(faces: np.ndarray) -> np.ndarray:
    """(..., 9): how far the lips are apart, from one corner to the other; never less than 0."""
    return np.maximum(faces[..., LOWER_LIP[0], 1] - faces[..., UPPER_LIP[0], 1], 0)


def _part_lips(made: np.ndarray, change: np.ndarray) -> None:
    """Move the lips apart by (F, 9), each by half, in all its rows."""
    for rows, share in ((UPPER_LIP, -0.5), (LOWER_LIP, 0.5)):
        made[:, rows, 1] += share * change[:, None]


def gaze(shape: np.ndarray, neutral: np.ndarray) -> list[np.ndarray]:
    """Per eye (F, 2): how far the iris has moved since rest, along and across the line between the eye's corners."""
    return [_in_eye(shape, centre, eye) - _in_eye(neutral, centre, eye) for eye, _, centre in _EYES]


def place_irises(made: np.ndarray, own: np.ndarray, moved: list[np.ndarray]) -> None:
    """Move each iris whole, as far between the corners as ``moved`` says, as ``gaze`` gives it."""
    for (eye, iris, centre), moved_eye in zip(_EYES, moved, strict=True):
        members = np.array([centre, *RINGS[iris]])
        corners = made[:, list(CORNERS[eye]), :2]
        along = corners[:, 1] - corners[:, 0]
        across = np.stack([-along[:, 1], along[:, 0]], axis=1)
        rest = own[members, :2] - own[list(CORNERS[eye]), :2].mean(axis=0)
        looks = _in_eye(own, centre, eye)
        room = np.maximum(_IRIS_REACH, np.abs(looks))  # a portrait that looks farther aside keeps that
        ends = np.clip(looks + moved_eye, -room, room)
        way = (ends[:, :1] - looks[0]) * along + (ends[:, 1:] - looks[1]) * across
        made[:, members, :2] = (corners.mean(axis=1) + way)[:, None] + rest


def _in_eye(faces: np.ndarray, point: int, eye: Component) -> np.ndarray:
    """A landmark's place (..., 2) along and across the line between an eye's corners, in lengths of that line."""
    first, last = (faces[..., corner, :2] for corner in CORNERS[eye])
    along, away = last - first, faces[..., point, :2] - (first + last) / 2
    length = np.maximum(np.square(along).sum(axis=-1), 1e-12)
    parallel = (away * along).sum(axis=-1) / length
    normal = (away[..., 1] * along[..., 0] - away[..., 0] * along[..., 1]) / length
    return np.stack([parallel, normal], axis=-1)
