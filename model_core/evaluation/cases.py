"""What evaluation is made of: a portrait and who drives it, mostly with the frames that have to come out.

Here are the held-out avatars, one identity driven by another; ``media.py`` makes cases of real clips, ``prepared.py``
of rendered heads and of photographs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..images import to_float
from ..training.avatars import HELD_OUT_SEED, make_clip
from ..types import FaceTrack
from ..warp.portrait import Carried


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A portrait and a driver.

    Attributes:
        name: the identity whose results are one sample: error bars are over identities.
        reference: (1, 3, H, W) in [-1, 1], the portrait.
        foreground: (1, 1, H, W).
        own: the portrait's face.
        driving: a face performing the portrait's motion and then that of the frames to make, F + 1 frames.
        frames: (F + 1, 3, h, w) in [-1, 1], the driver's pictures.
    """

    name: str = ""
    reference: Tensor
    foreground: Tensor
    own: FaceTrack
    driving: FaceTrack
    frames: Tensor


@dataclass(frozen=True, kw_only=True)
class Case(Pair):
    """A pair whose result is known.

    Attributes:
        target: (F, 3, H, W) in [-1, 1], what has to come out.
        landmarks: (F, 478, 3), the target's face in its pixels, exactly or as it was found.
        carried: the portrait carried to these landmarks, where it went another way than the pipeline's.
    """

    target: Tensor
    landmarks: np.ndarray
    carried: Carried | None = None


def held_out_cases(count: int, frames: int, size: tuple[int, int]) -> Iterator[Case]:
    """The same cases every time, never trained on; ``size`` is (H, W) in pixels, square."""
    for index in range(count):
        clip = make_clip(HELD_OUT_SEED + index, frames=frames + 1, drivers=1, pictured=1, size=size[0])
        images, driving = (to_float(pictures) for pictures in (clip["images"], clip["driving_images"][0]))
        yield Case(
            name=f"avatar {index}",
            reference=images[:1],
            foreground=torch.from_numpy(clip["foreground"][:1, None]).float() / 255,
            own=exact_track(clip["landmarks"][:1], size),
            driving=exact_track(clip["driving_landmarks"][0], size),
            frames=driving,
            target=images[1:],
            landmarks=clip["landmarks"][1:],
        )


def exact_track(landmarks: np.ndarray, size: tuple[int, int]) -> FaceTrack:
    """A face whose landmarks (F, 478, 3) are known without looking, in frames of ``size`` (H, W)."""
    points = landmarks[..., :2]
    boxes = np.concatenate([points.min(1), points.max(1)], axis=1)
    ones = np.ones(len(landmarks))
    return FaceTrack(boxes, landmarks, ones.astype(np.float32), ones.astype(bool), size)
