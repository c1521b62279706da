"""What goes wrong with masked driving frames: detectors jitter, parts are missed, hands pass in front.

Training spoils some of its masks this way, so that a model does not lean on perfect ones; evaluation measures how much
each fault costs. Every function is deterministic in its generator.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from ..motion.alignment import face_centre, face_size
from ..motion.masked_frames import REGIONS, region_mask
from ..motion.random_scaling import GROUPS

_SHIFT, _STRETCH = 0.05, 0.1  # standard deviations, of a face's size and of 1
_MISSING = 0.15


def masked(
    pixels: np.ndarray,
    landmarks: np.ndarray,
    rng: Generator,
    *,
    jitter: bool = False,
    missing: bool = False,
    occluded: bool = False,
) -> Tensor:
    """Frames masked as ``masked_frames_signal`` does, with faults.

    Args:
        pixels: (F, H, W, 3) in [0, 1].
        landmarks: (F, 478, 3) in their pixels.
        jitter, missing, occluded: which faults, see the functions below.
    Returns:
        (F, 3, H, W) float32 in [0, 1].
    """
    size = pixels.shape[1:3]
    if occluded:
        pixels = occlude(pixels, landmarks, rng)
    if jitter:
        landmarks = jittered(landmarks, rng)
    masks = [
        incomplete_mask(face, size, rng) if missing else region_mask(face, source_size=size, size=size)
        for face in landmarks
    ]
    return torch.from_numpy(pixels * np.stack(masks)[..., None]).permute(0, 3, 1, 2).float().contiguous()


def jittered(landmarks: np.ndarray, rng: Generator) -> np.ndarray:
    """Landmarks (F, 478, 3) with every component shifted and stretched anew in every frame."""
    made = landmarks.copy()
    for face in made:
        extent = face_size(face.astype(np.float64))
        for outline, members in GROUPS:
            centre = face[outline, :2].mean(axis=0)
            shift, stretch = rng.normal(0, _SHIFT * extent, 2), rng.normal(1, _STRETCH, 2)
            face[members, :2] = centre + (face[members, :2] - centre) * stretch + shift
    return made


def incomplete_mask(landmarks: np.ndarray, size: tuple[int, int], rng: Generator) -> np.ndarray:
    """The mask of one face of which each region may be missing, (H, W) in [0, 1]."""
    kept = [region for region in REGIONS if rng.random() >= _MISSING]
    return region_mask(landmarks, source_size=size, size=size, regions=kept)


def occlude(images: np.ndarray, landmarks: np.ndarray, rng: Generator) -> np.ndarray:
    """Something plain passes in front of a part of the face.

    Args:
        images: (F, H, W, 3) in [0, 1].
        landmarks: (F, 478, 3) in their pixels.
    Returns:
        a new array.
    """
    made = images.copy()
    extent = face_size(landmarks[0].astype(np.float64))
    start, drift = rng.normal(0, 0.6 * extent, 2), rng.normal(0, 0.1 * extent, 2)
    axes, angle = rng.uniform(0.25, 0.6, 2) * extent, rng.uniform(0, 180)
    colour = tuple(float(c) for c in rng.random(3))
    for number, (image, face) in enumerate(zip(made, landmarks, strict=True)):
        place = face_centre(face)[:2] + start + drift * number
        box = ((float(place[0]), float(place[1])), (float(2 * axes[0]), float(2 * axes[1])), float(angle))
        cv2.ellipse(image, box, colour, thickness=-1, lineType=cv2.LINE_AA)
    return made
