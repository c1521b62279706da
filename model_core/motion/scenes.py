"""Where a film is cut, and where the driving face lies in the portrait in every scene.

Relative alignment gives the driver at rest the portrait's place. After a cut the same driver sits elsewhere, or
nearer: with the first scene's alignment the portrait's face would leave its frame. So every scene is aligned by
its own first frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..types import FaceTrack
from .alignment import Alignment, Similarity, placement

_JUMP = 0.6
"""Sizes of the face between two frames: at 25 frames a second, a face that crosses itself 15 times a second."""
_RESIZE = 1.4


@dataclass(frozen=True)
class Scene:
    """Frames from ``start`` on, up to the next scene's, and where they lie in the portrait's image."""

    start: int
    place: Similarity


def scene_starts(track: FaceTrack) -> list[int]:
    """The frames with which a scene begins, 0 first.

    A cut is seen in the face alone: from one frame to the next, both showing it, it jumps or changes its size
    as no head does. A face that comes back after a gap is the same scene's.
    """
    boxes = track.boxes.astype(np.float64)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    sides = np.sqrt(np.maximum(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), 1e-6))
    smaller = np.minimum(sides[1:], sides[:-1])
    jumped = np.linalg.norm(np.diff(centres, axis=0), axis=1) > _JUMP * smaller
    resized = np.abs(np.diff(np.log(sides))) > np.log(_RESIZE)
    both = track.detected[1:] & track.detected[:-1]
    return [0, *(np.flatnonzero((jumped | resized) & both) + 1).tolist()]


def place_scenes(driving: FaceTrack, reference: FaceTrack, *, mode: Alignment | Literal["retarget"]) -> list[Scene]:
    """Every scene of a clip, aligned by itself; with absolute alignment the clip is one scene.

    Args:
        driving, reference, mode: as for ``placement``; retargeted scenes are placed as relative ones.
    """
    alignment: Alignment = "relative" if mode == "retarget" else mode
    starts = scene_starts(driving) if alignment == "relative" else [0]
    return [Scene(start, placement(driving, reference, mode=alignment, driving_rest_frame=start)) for start in starts]
