"""Masked driving frames of a training sample (Stable Video-Driven Portraits).

The driver is another identity performing the same motion, where its frames are known, its pixels carried onto the
portrait's own features as at inference; or the portrait itself in colours of its own, so that what the masks leave of
its looks says nothing about the target's.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from ..warp import carry_pixels
from .config import DataConfig
from .drawing import random_colours
from .mask_faults import masked


def masked_sample(
    clip: dict[str, np.ndarray], frames: list[int], faces: np.ndarray, config: DataConfig, rng: Generator
) -> Tensor:
    """The masked frames of a reference and its targets.

    Args:
        frames: numbers of the reference and of the targets in the clip.
        faces: (1 + F, 478, 3), their landmarks as a detector found them.
    Returns:
        (1 + F, 3, H, W) in [0, 1]; the reference is never driven by another.
    """
    own = clip["images"][frames].astype(np.float32) / 255
    pixels = _driver(clip, frames[1:], faces[1:], config, rng)
    pixels = own[1:] if pixels is None else pixels
    if rng.random() < config.driver_colours:
        pixels = _recoloured(pixels, rng)
    jitter, missing, occluded = (bool(draw < config.mask_faults) for draw in rng.random(3))
    shown = masked(pixels, faces[1:], rng, jitter=jitter, missing=missing, occluded=occluded)
    return torch.cat([masked(own[:1], faces[:1], rng), shown])


def _driver(
    clip: dict[str, np.ndarray], frames: list[int], faces: np.ndarray, config: DataConfig, rng: Generator
) -> np.ndarray | None:
    """Another identity's frames carried onto the targets' faces, (F, H, W, 3) in [0, 1]; None where none drives."""
    others = clip.get("driving_images")
    if others is None or len(others) == 0 or rng.random() >= config.cross_identity:
        return None
    chosen = int(rng.integers(len(others)))
    pixels = others[chosen][frames].astype(np.float32) / 255
    landmarks = clip["driving_landmarks"][chosen][frames]
    return np.clip(carry_pixels(pixels, landmarks, faces, size=clip["images"].shape[1:3]), 0, 1)


def _recoloured(pixels: np.ndarray, rng: Generator) -> np.ndarray:
    frames = torch.from_numpy(pixels).permute(0, 3, 1, 2) * 2 - 1
    return ((random_colours(frames, rng) + 1) / 2).permute(0, 2, 3, 1).numpy()
