"""Held-out avatars for evaluation: one identity driven by another, with the exact frames that have to come out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..images import to_float
from ..training.avatars import HELD_OUT_SEED, make_clip
from ..types import FaceTrack


@dataclass(frozen=True)
class Case:
    """One held-out identity driven by another.

    Attributes:
        reference: (1, 3, H, W) in [-1, 1], the target's first frame.
        foreground: (1, 1, H, W).
        own: the reference's face.
        driving: another identity's face performing the reference's and then the target's motion, F + 1 frames.
        frames: (F + 1, 3, H, W) in [-1, 1], that identity's pictures.
        target: (F, 3, H, W), what has to come out.
    """

    reference: Tensor
    foreground: Tensor
    own: FaceTrack
    driving: FaceTrack
    frames: Tensor
    target: Tensor


def held_out_cases(count: int, frames: int, size: tuple[int, int]) -> Iterator[Case]:
    """The same cases every time, never trained on; ``size`` is (H, W) in pixels, square."""
    for index in range(count):
        clip = make_clip(HELD_OUT_SEED + index, frames=frames + 1, drivers=1, pictured=1, size=size[0])
        images, driving = (to_float(pictures) for pictures in (clip["images"], clip["driving_images"][0]))
        yield Case(
            reference=images[:1],
            foreground=torch.from_numpy(clip["foreground"][:1, None]).float() / 255,
            own=_track(clip["landmarks"][:1], size),
            driving=_track(clip["driving_landmarks"][0], size),
            frames=driving,
            target=images[1:],
        )


def _track(landmarks: np.ndarray, size: tuple[int, int]) -> FaceTrack:
    points = landmarks[..., :2]
    boxes = np.concatenate([points.min(1), points.max(1)], axis=1)
    ones = np.ones(len(landmarks))
    return FaceTrack(boxes, landmarks, ones.astype(np.float32), ones.astype(bool), size)
