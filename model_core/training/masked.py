"""Masked driving frames of a training sample (Stable Video-Driven Portraits).

The driver is another identity performing the same motion, where its frames are known, or the portrait itself in
colours of its own, so that what the masks leave of its looks says nothing about the target's.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from ..motion.alignment import Similarity, face_similarity
from .config import DataConfig
from .drawing import detector_jitter, random_colours, shown_areas
from .mask_faults import masked


def masked_sample(
    clip: dict[str, np.ndarray], reference: int, frames: list[int], config: DataConfig, rng: Generator
) -> dict[str, Tensor]:
    """``motion``, ``shown``, ``reference_motion`` and ``reference_shown`` of ``ClipDataset``'s items."""
    size = clip["images"].shape[1:3]
    portrait = clip["landmarks"][reference]
    pixels, landmarks, at_rest = _driver(clip, reference, frames, config, rng)
    if at_rest is not None and rng.random() < config.relative:
        place = face_similarity(at_rest, portrait, size=size)
        pixels, landmarks = _moved(pixels, place, size), place.points(landmarks)
    if rng.random() < config.driver_colours:
        pixels = _recoloured(pixels, rng)
    faces = np.concatenate([portrait[None], landmarks])
    if rng.random() < config.detector_jitter:
        faces = detector_jitter(faces, rng)
    jitter, missing, occluded = (bool(draw < config.mask_faults) for draw in rng.random(3))
    motion = masked(pixels, faces[1:], rng, jitter=jitter, missing=missing, occluded=occluded)
    own = clip["images"][reference][None].astype(np.float32) / 255
    return {
        "reference_motion": masked(own, faces[:1], rng)[0],
        "motion": motion,
        "reference_shown": shown_areas(portrait, size),
        "shown": torch.stack([shown_areas(face, size) for face in landmarks]),
    }


def _driver(
    clip: dict[str, np.ndarray], reference: int, frames: list[int], config: DataConfig, rng: Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """A driver's frames (F, H, W, 3) in [0, 1], its landmarks, and another identity's face in the reference's pose."""
    others = clip.get("driving_images")
    if others is None or len(others) == 0 or rng.random() >= config.cross_identity:
        return clip["images"][frames].astype(np.float32) / 255, clip["landmarks"][frames], None
    chosen = int(rng.integers(len(others)))
    landmarks = clip["driving_landmarks"][chosen]
    return others[chosen][frames].astype(np.float32) / 255, landmarks[frames], landmarks[reference]


def _moved(pixels: np.ndarray, place: Similarity, size: tuple[int, int]) -> np.ndarray:
    frames = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    return place.warp(frames, size=size).clamp(0, 1).permute(0, 2, 3, 1).numpy()


def _recoloured(pixels: np.ndarray, rng: Generator) -> np.ndarray:
    frames = torch.from_numpy(pixels).permute(0, 3, 1, 2) * 2 - 1
    return ((random_colours(frames, rng) + 1) / 2).permute(0, 2, 3, 1).numpy()
