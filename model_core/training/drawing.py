"""What training samples are made of: parsing maps, and the random changes that make them harder."""

from __future__ import annotations

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from ..motion.alignment import face_size
from ..motion.parsing_map import draw_parsing_map
from ..motion.random_scaling import GROUPS


def parsing_map(landmarks: np.ndarray, size: tuple[int, int]) -> Tensor:
    """The parsing map of one face, (3, H, W) in [0, 1]."""
    picture = draw_parsing_map(landmarks, source_size=size, size=size)
    return torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1).contiguous().float() / 255


def detector_jitter(landmarks: np.ndarray, rng: Generator) -> np.ndarray:
    """The same landmarks as another detector would place them: every component by its own shift and stretch.

    Detectors disagree about where a brow or a nose ends, but each does so alike in every frame. Keeps a model
    trained on exact landmarks from leaning on their exact shapes.

    Args:
        landmarks: (N, 478, 3), portrait and driving frames alike.
    Returns:
        a new array of the same shape and dtype.
    """
    made = landmarks.copy()
    extent = face_size(landmarks[0].astype(np.float64))
    for outline, members in GROUPS:
        centre = landmarks[:, outline, :2].mean(axis=1, keepdims=True)
        stretch = rng.normal(1, 0.05, size=2)
        shift = rng.normal(0, 0.02, size=2) * extent
        made[:, members, :2] = centre + (landmarks[:, members, :2] - centre) * stretch + shift
    return made


def random_colours(images: Tensor, rng: Generator) -> Tensor:
    """One random colour transform for reference and targets alike: permute, tint, bend.

    Keeps a model from remembering which colours faces have. (N, 3, H, W) in [-1, 1], the same out.
    """
    images = images[:, torch.from_numpy(rng.permutation(3))]
    unit = (images + 1) / 2
    gamma = float(np.exp(rng.normal(0, 0.25)))
    gain = torch.from_numpy(rng.uniform(0.7, 1.2, size=(1, 3, 1, 1))).float()
    shift = torch.from_numpy(rng.uniform(-0.1, 0.1, size=(1, 3, 1, 1))).float()
    return ((unit**gamma * gain + shift).clamp(0, 1)) * 2 - 1
