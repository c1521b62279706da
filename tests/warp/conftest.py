from __future__ import annotations

import numpy as np
import pytest
import torch

from model_core.motion.expressions import expression_offsets, neutral_face
from model_core.motion.head import rotation_matrix
from model_core.warp.patch import Canvas
from model_core.warp.resampling import OpenCVResampler

SIZE = 256
FACE = 44.0  # pixels of a face size in a picture of SIZE


def placed(points: np.ndarray, turn: tuple[float, float, float] = (0, 0, 0)) -> np.ndarray:
    """A face in sizes, turned about its centre and laid into the middle of the picture."""
    points = points - points.mean(axis=0)
    return points @ rotation_matrix(np.array(turn, dtype=np.float64)).T * FACE + (SIZE / 2, SIZE / 2, 0)


def canvas_of(frame: np.ndarray, validity: np.ndarray) -> Canvas:
    """What paints into these very arrays, of one frame."""
    return Canvas(torch.from_numpy(frame)[None], torch.from_numpy(validity)[None], OpenCVResampler())


@pytest.fixture(scope="session")
def portrait() -> np.ndarray:
    """(478, 3): an average face, looking at the viewer."""
    return placed(neutral_face())


@pytest.fixture(scope="session")
def open_mouth() -> np.ndarray:
    coefficients = np.zeros((1, 51), np.float32)
    coefficients[0, 24] = 0.8  # jawOpen
    return placed(neutral_face() + expression_offsets(coefficients)[0])


@pytest.fixture(scope="session")
def picture() -> np.ndarray:
    """(SIZE, SIZE, 3) uint8, smooth: what it shows says where it was."""
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    return np.stack([x, y, 128 + 60 * np.sin(x / 17) * np.cos(y / 23)], axis=-1).round().astype(np.uint8)
