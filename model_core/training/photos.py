"""Photographs as targets: pairs for training without any video.

A photograph is carried away to other landmarks, as if it had been taken in another expression and from another side,
and back to its own. Away, it is the portrait; back again, it is the baseline, damaged exactly as carrying damages:
teeth gone behind closed lips, lids stretched, borders uncovered. The photograph itself is what to restore.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from ..motion.retarget import retarget
from ..motion.strength import MotionStrength
from ..types import FaceTrack
from ..warp import PortraitLayers, carry_pixels

_SHUT = 0.5
"""Share of the pairs whose portrait has its mouth as closed as the movement allows."""

_STRENGTH = MotionStrength(head_rotation=0.5, head_translation=0.5)
"""Two random frames of a clip may be twice as far apart as each is from the front."""

_UPPER, _LOWER = 13, 14  # the middle of the inner lips


def photo_pairs(photo: dict[str, np.ndarray], moves: np.ndarray, count: int, rng: Generator) -> dict[str, np.ndarray]:
    """A short clip made of one photograph: the portrait, then the photograph itself ``count`` times.

    Args:
        photo: a prepared clip of one frame.
        moves: (T, 478, 3), a face that moves, of any person: what happens between two of its frames happens here.
        rng: each target gets a damage of its own.
    Returns:
        ``images``, ``foreground`` and ``landmarks`` of 1 + count frames as in a prepared clip, and for the targets
        ``baseline`` (count, H, W, 3) uint8 and ``validity`` (count, H, W) float32.
    """
    image, own = photo["images"][0], photo["landmarks"][0]
    person = photo["foreground"][0].astype(np.float32) / 255
    away = np.stack([_away(own, image.shape[:2], moves, rng) for _ in range(count)])
    carried = PortraitLayers.of(image, own, person).carry(away)
    people = _follow(person, own, away)
    damage = carry_pixels(1 - carried.validity, away, np.repeat(own[None], count, 0), size=image.shape[:2])
    baseline, validity = np.empty_like(carried.frames), np.empty_like(carried.validity)
    for number, portrait in enumerate(carried.frames):
        back = PortraitLayers.of(portrait, away[number], people[number]).carry(own[None])
        baseline[number] = back.frames[0]
        validity[number] = back.validity[0] * (1 - damage[number])
    return {
        "images": np.stack([carried.frames[0], *[image] * count]),
        "foreground": (np.stack([people[0], *[person] * count]) * 255).astype(np.uint8),
        "landmarks": np.stack([away[0], *[own] * count]).astype(np.float32),
        "baseline": baseline,
        "validity": validity,
    }


def _away(own: np.ndarray, size: tuple[int, int], moves: np.ndarray, rng: Generator) -> np.ndarray:
    """Where the photograph's landmarks (478, 3) go when its face moves as between two random frames."""
    first, second = rng.choice(len(moves), size=2, replace=False)
    if rng.random() < _SHUT:
        opening = np.linalg.norm(moves[:, _LOWER, :2] - moves[:, _UPPER, :2], axis=1)
        first, second = int(opening.argmax()), int(opening.argmin())
    still, moved, portrait = (_track(face, size) for face in (moves[first], moves[second], own))
    return retarget(moved, portrait, rest=still, strength=_STRENGTH).track.landmarks[0]


def _track(face: np.ndarray, size: tuple[int, int]) -> FaceTrack:
    ends = face[:, :2].min(0), face[:, :2].max(0)
    box, sure = np.concatenate(ends)[None].astype(np.float32), np.ones(1, np.float32)
    return FaceTrack(box, face[None].astype(np.float32), sure, sure.astype(bool), size)


def _follow(person: np.ndarray, own: np.ndarray, away: np.ndarray) -> np.ndarray:
    """The person's mask (H, W) in every frame, (F, H, W): it moves within the mesh and stays outside of it."""
    count = len(away)
    layers = np.repeat(np.stack([person, np.ones_like(person)], -1)[None], count, 0)
    moved, inside = np.moveaxis(carry_pixels(layers, np.repeat(own[None], count, 0), away, size=person.shape), -1, 0)
    return moved + (1 - inside) * person
