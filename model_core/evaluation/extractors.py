"""What metrics need from networks: landmarks, identities, perceptual distances; loaded by the caller."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ..errors import DependencyError
from ..faces.analyzer import FaceAnalyzer, FaceDetection
from ..types import NUM_LANDMARKS


@dataclass(frozen=True)
class FoundLandmarks:
    """Landmarks of the frames of a clip.

    Attributes:
        points: (F, 478, 3) float32, x and y in pixels of the frame, z in the same unit; NaN where not found.
        found: (F,) bool.
    """

    points: np.ndarray
    found: np.ndarray


LandmarkExtractor = Callable[[np.ndarray], FoundLandmarks]
"""(F, H, W, 3) uint8 RGB -> landmarks."""


class IdentityExtractor(Protocol):
    """A face recognition network."""

    def __call__(self, frames: np.ndarray) -> Tensor:
        """(F, H, W, 3) uint8 RGB -> (F, D) float32 embeddings of unit length; NaN where there is no face."""
        ...


class PerceptualDistance(Protocol):
    """A learned distance of pictures."""

    def __call__(self, generated: Tensor, target: Tensor) -> Tensor:
        """Two (F, 3, H, W) in [-1, 1] -> (F,) >= 0; 0 is best."""
        ...


def landmark_extractor(analyzer: FaceAnalyzer, *, progress: Callable[[int], object] | None = None) -> LandmarkExtractor:
    """Find the largest face of each frame on its own: nothing is tracked, smoothed or filled in.

    A generated frame without a face must count as one, so gaps are not interpolated as in a FaceTrack.

    Args:
        progress: told the number of frames done of a clip after each; cancels by raising.
    """

    def extract(frames: np.ndarray) -> FoundLandmarks:
        points = np.full((len(frames), NUM_LANDMARKS, 3), np.nan, np.float32)
        found = np.zeros(len(frames), bool)
        for index, frame in enumerate(frames):
            faces = analyzer.detect(frame)
            if faces:
                points[index] = max(faces, key=_area).landmarks
                found[index] = True
            if progress is not None:
                progress(index + 1)
        return FoundLandmarks(points=points, found=found)

    return extract


def _area(face: FaceDetection) -> float:
    x0, y0, x1, y1 = face.box
    return float((x1 - x0) * (y1 - y0))


def identity_similarity(extractor: IdentityExtractor, frames: np.ndarray, reference: np.ndarray) -> Tensor:
    """Cosine of each frame's identity to the reference's, (F,) in [-1, 1]; NaN without a face.

    Args:
        frames: (F, H, W, 3) uint8 RGB.
        reference: (H, W, 3) uint8 RGB.
    """
    return torch.nn.functional.cosine_similarity(extractor(frames), extractor(reference[None]), dim=-1)


def perceptual_distance(*, device: str | torch.device = "cpu") -> PerceptualDistance:
    """Shift-tolerant LPIPS with AlexNet, whose weights come with its package. Not numerically LPIPS: report it
    as ST-LPIPS.

    Raises:
        DependencyError: stlpips-pytorch, or what it imports, is not installed.
    Source: Ghildyal and Liu, Shift-tolerant Perceptual Similarity Metric, ECCV 2022.
    """
    try:
        stlpips = importlib.import_module("stlpips_pytorch.stlpips")
    except ImportError as error:
        raise DependencyError(
            f"ST-LPIPS needs packages ({error}): pip install stlpips-pytorch torchsummary torchvision ipython"
        ) from error
    network = stlpips.LPIPS(net="alex", variant="shift_tolerant", verbose=False).to(device)

    def distance(generated: Tensor, target: Tensor) -> Tensor:
        with torch.inference_mode():
            values = network(generated.float().to(device), target.float().to(device))
        return torch.as_tensor(values).reshape(len(generated)).cpu()

    return distance
