"""The face mesh continued over the whole head: rings around the face that move with the skull and fade to still.

Landmarks end at the face's oval, which on the far side of a turned head lies hidden behind the cheek. What is seen
there begins at the outline, the edge of all landmarks in the picture: outline goes to outline, so that hair stays at
the cheek. Hair, ears and neck are carried by rings that repeat the outline farther out and farther back. They turn and
move as the skull does, not as the jaw; below the chin, where the neck is, they move less, and the outermost one stays
still.
"""

from __future__ import annotations

import cv2
import numpy as np

from ..motion.alignment import face_centre, face_size, face_sizes
from ..motion.components import INNER_MOUTH_RINGS, RINGS
from ..motion.head import rotation
from ..types import NUM_LANDMARKS, Component
from .tessellation import FACE_TRIANGLES

_OVAL = RINGS[Component.FACE]
_OUT = np.array([1.15, 1.4, 1.8, 2.6])
"""How far out each ring lies, in radii of the outline."""
_BACK = np.array([0.2, 0.55, 0.9, 1.0])
"""How far behind the oval, in sizes of the face."""
_HOLD = np.array([1.0, 1.0, 1.0, 0.0])
"""How much of the skull's motion it takes part in."""
_FOLLOW = np.array([0.85, 0.5, 0.15, 0.0])
"""How much it follows what the face does to the oval: a jaw that drops pushes the skin under it."""
_NECK = np.array([0.3, 0.7, 1.0, 1.0])
"""How much of that is lost three face sizes below the face's centre."""
_NECK_LENGTH = 3.0
_FARTHEST_OUTLINE = 50.0  # radii of the oval: one that is seen edge-on has none

_LOOPS = 1 + len(_OUT)
RINGED = NUM_LANDMARKS + _LOOPS * len(_OVAL)
"""Vertices of the whole mesh: the landmarks, the outline, then the rings from the inside out."""


def _ring_triangles() -> np.ndarray:
    count = len(_OVAL)
    outer = NUM_LANDMARKS + np.arange(_LOOPS * count).reshape(_LOOPS, count)
    loops = np.concatenate([_OVAL[None], outer])
    inside, outside = loops[:-1], loops[1:]
    next_in, next_out = np.roll(inside, -1, axis=1), np.roll(outside, -1, axis=1)
    first = np.stack([inside, outside, next_in], axis=-1)
    second = np.stack([next_in, outside, next_out], axis=-1)
    return np.concatenate([first.reshape(-1, 3), second.reshape(-1, 3)])


def _between(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """Triangles of the strip between two lines of landmarks that share their ends."""
    first = np.stack([upper[:-1], upper[1:], lower[:-1]], axis=1)
    second = np.stack([upper[1:], lower[1:], lower[:-1]], axis=1)
    return np.concatenate([first[1:], second[:-1]])  # at both ends one triangle has no extent


def _opening(component: Component) -> np.ndarray:
    ring = RINGS[component]
    half = len(ring) // 2
    lower, upper = ring[: half + 1], np.concatenate([ring[:1], ring[: half - 1 : -1]])
    if component is Component.LEFT_EYE:  # its ring begins at the right end of the screen
        lower, upper = lower[::-1], upper[::-1]
    return _between(upper, lower)


EYE_TRIANGLES = np.concatenate([_opening(Component.LEFT_EYE), _opening(Component.RIGHT_EYE)])
MOUTH_TRIANGLES = _between(*(np.array(ring) for ring in INNER_MOUTH_RINGS))
RING_TRIANGLES = _ring_triangles()

HEAD_TRIANGLES = np.concatenate([RING_TRIANGLES, FACE_TRIANGLES, EYE_TRIANGLES, MOUTH_TRIANGLES])
"""The whole mesh, rings first; eyes and mouth are filled from lid to lid and from lip to lip."""

FIRST_EYE = len(RING_TRIANGLES) + len(FACE_TRIANGLES)
FIRST_MOUTH = FIRST_EYE + len(EYE_TRIANGLES)
"""Numbers of the first triangles within the eyes and within the mouth."""


def with_rings(landmarks: np.ndarray) -> np.ndarray:
    """The portrait's mesh: (478, 3) landmarks to (RINGED, 3) vertices."""
    centre, size = face_centre(landmarks), face_size(landmarks)
    outline = _outline(landmarks)
    rings = centre + (outline - centre) * _OUT[:, None, None]
    rings[..., 2] = outline[:, 2] + _BACK[:, None] * size
    return np.concatenate([landmarks, outline, rings.reshape(-1, 3)])


def _outline(landmarks: np.ndarray) -> np.ndarray:
    """(N, 3) the edge of all landmarks in the picture, in the direction of each of the oval's, at the oval's depth."""
    centre, oval = face_centre(landmarks), landmarks[_OVAL]
    hull = cv2.convexHull(landmarks[:, None, :2].astype(np.float32))[:, 0].astype(np.float64) - centre[:2]
    edges = np.roll(hull, -1, axis=0) - hull
    ways = (oval - centre)[:, None, :2]
    across = ways[..., 0] * edges[:, 1] - ways[..., 1] * edges[:, 0]
    along = hull[:, 0] * edges[:, 1] - hull[:, 1] * edges[:, 0]
    turning = np.sign(along.sum())  # which way round the hull goes
    reach = np.where(across * turning > 1e-9, along / np.where(across == 0, 1, across), np.inf).min(axis=1)
    made = oval.copy()
    made[:, :2] = centre[:2] + ways[:, 0] * np.clip(reach, 1, _FARTHEST_OUTLINE)[:, None]
    return made


def moved_rings(mesh: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The mesh in every frame.

    Args:
        mesh: (RINGED, 3), from ``with_rings``.
        targets: (F, 478, 3), where the landmarks go.
    Returns:
        (F, RINGED, 3).
    """
    source, rings = mesh[:NUM_LANDMARKS], mesh[-len(_OUT) * len(_OVAL) :].reshape(len(_OUT), len(_OVAL), 3)
    centre, size = face_centre(source), face_size(source)
    below = np.clip((rings[..., 1] - centre[1]) / (size * _NECK_LENGTH), 0, 1)
    share = (_HOLD[:, None] * (1 - below * _NECK[:, None]))[..., None]
    scale = face_sizes(targets) / size
    turn = rotation(source, targets)
    turned = (rings - centre).reshape(1, -1, 3) @ np.swapaxes(turn, -1, -2)
    middle = face_centre(targets)[:, None]
    rigid = turned * scale[:, None, None] + middle
    still = rings.reshape(1, -1, 3)
    made = still + share.reshape(1, -1, 1) * (rigid - still)
    held = (source[_OVAL] - centre) @ np.swapaxes(turn, -1, -2) * scale[:, None, None] + middle
    pushed = _FOLLOW[:, None, None] * (targets[:, None, _OVAL] - held[:, None])
    outlines = np.stack([_outline(face) for face in targets])
    return np.concatenate([targets, outlines, made + pushed.reshape(made.shape)], axis=1)
