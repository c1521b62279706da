"""Masked driving frames of a training sample (Stable Video-Driven Portraits).

The driver is another identity performing the same motion: the one whose frames the clip knows, its pixels carried onto
the portrait's own features as at inference, or else somebody of another clip, carried there (strangers.py). Or it is
the portrait itself in colours of its own, so that what the masks leave of its looks says nothing about the target's.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from ..warp import carry_pixels
from .config import DataConfig
from .drawing import random_colours
from .mask_faults import masked
from .strangers import stranger_frames

Arrays = dict[str, np.ndarray]


def masked_sample(
    clip: Arrays,
    frames: list[int],
    faces: np.ndarray,
    config: DataConfig,
    rng: Generator,
    *,
    stranger: Callable[[], Arrays | None] = lambda: None,
) -> Tensor:
    """The masked frames of a reference and its targets.

    Args:
        frames: numbers of the reference and of the targets in the clip.
        faces: (1 + F, 478, 3), their landmarks as a detector found them.
        stranger: draws a prepared clip of somebody else, asked where the clip has no driver; None where there is
            nobody else.
    Returns:
        (1 + F, 3, H, W) in [0, 1]; the reference is never driven by another.
    """
    own = clip["images"][frames].astype(np.float32) / 255
    pixels = own[1:]
    if rng.random() < config.cross_identity:
        pixels = _driver(clip, frames[1:], faces[1:], rng, stranger)
    if rng.random() < config.driver_colours:
        pixels = _recoloured(pixels, rng)
    jitter, missing, occluded = (bool(draw < config.mask_faults) for draw in rng.random(3))
    shown = masked(pixels, faces[1:], rng, jitter=jitter, missing=missing, occluded=occluded)
    return torch.cat([masked(own[:1], faces[:1], rng), shown])


def _driver(
    clip: Arrays, frames: list[int], faces: np.ndarray, rng: Generator, stranger: Callable[[], Arrays | None]
) -> np.ndarray:
    """Another identity's frames on the targets' faces, (F, H, W, 3) in [0, 1].

    Where nobody else is known it is the portrait in other colours: never the target's own pixels.
    """
    others = clip.get("driving_images", ())
    if len(others):
        chosen = int(rng.integers(len(others)))
        pixels = others[chosen][frames].astype(np.float32) / 255
        landmarks = clip["driving_landmarks"][chosen][frames]
        return np.clip(carry_pixels(pixels, landmarks, faces, size=clip["images"].shape[1:3]), 0, 1)
    other = stranger()
    if other is None:
        return _recoloured(clip["images"][frames].astype(np.float32) / 255, rng)
    return stranger_frames(other, faces, rng)


def _recoloured(pixels: np.ndarray, rng: Generator) -> np.ndarray:
    frames = torch.from_numpy(pixels).permute(0, 3, 1, 2) * 2 - 1
    return ((random_colours(frames, rng) + 1) / 2).permute(0, 2, 3, 1).numpy()
