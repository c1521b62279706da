from __future__ import annotations

import sys
import types

import numpy as np
import pytest
import torch

from model_core.errors import DependencyError
from model_core.evaluation import extractors, metrics
from model_core.faces.analyzer import FaceDetection


def face(side: float, value: float) -> FaceDetection:
    box = np.array([0, 0, side, side], np.float32)
    return FaceDetection(box=box, landmarks=np.full((478, 3), value, np.float32), confidence=1.0)


class Scripted:
    """An analyser whose faces are known: as many as the first pixel says, the last one the largest."""

    def detect(self, frame: np.ndarray) -> list[FaceDetection]:
        return [face(10.0 * k, float(k)) for k in range(1, int(frame[0, 0, 0]) + 1)]


def frames(*counts: int) -> np.ndarray:
    return np.stack([np.full((8, 8, 3), count, np.uint8) for count in counts])


def test_largest_face_of_each_frame_and_gaps_stay_gaps():
    result = extractors.landmark_extractor(Scripted())(frames(1, 0, 3))
    assert result.points.shape == (3, 478, 3) and result.points.dtype == np.float32
    assert result.found.tolist() == [True, False, True]
    assert result.points[0].max() == 1 and result.points[2].min() == 3
    assert np.isnan(result.points[1]).all()


def test_no_frames_no_landmarks():
    result = extractors.landmark_extractor(Scripted())(np.zeros((0, 8, 8, 3), np.uint8))
    assert result.points.shape == (0, 478, 3) and result.found.shape == (0,)


def test_what_is_extracted_can_be_measured():
    result = extractors.landmark_extractor(Scripted())(frames(1, 0))
    truth = np.random.default_rng(0).uniform(0, 8, (2, 478, 3))
    error = metrics.landmark_error(result.points, truth, found=result.found)
    assert error.isnan().tolist() == [False, True]


def test_identity_similarity_is_a_cosine():
    def embed(pictures: np.ndarray) -> torch.Tensor:
        angle = torch.from_numpy(pictures[:, 0, 0, 0].astype(np.float32)) * torch.pi / 180
        return torch.stack([angle.cos(), angle.sin()], dim=1)

    similarity = extractors.identity_similarity(embed, frames(0, 60, 90), frames(0)[0])
    assert similarity.tolist() == pytest.approx([1, 0.5, 0], abs=1e-6)


def test_missing_perceptual_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "stlpips_pytorch.stlpips", None)
    with pytest.raises(DependencyError, match="pip install stlpips-pytorch"):
        extractors.perceptual_distance()


def test_perceptual_distance_per_frame(monkeypatch):
    """With a stand-in of the package's inputs and outputs: (F, 1, 1, 1) and gradients on."""

    class LPIPS(torch.nn.Module):
        def __init__(self, *, net: str, variant: str, verbose: bool) -> None:
            super().__init__()
            assert (net, variant, verbose) == ("alex", "shift_tolerant", False)
            self.scale = torch.nn.Parameter(torch.tensor(2.0))

        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return self.scale * (a - b).abs().mean(dim=(1, 2, 3), keepdim=True)

    module = types.ModuleType("stlpips_pytorch.stlpips")
    module.LPIPS = LPIPS
    monkeypatch.setitem(sys.modules, "stlpips_pytorch", types.ModuleType("stlpips_pytorch"))
    monkeypatch.setitem(sys.modules, "stlpips_pytorch.stlpips", module)
    target = torch.zeros(3, 3, 16, 16)
    generated = target + torch.tensor([0, 0.25, 0.5]).reshape(3, 1, 1, 1)
    values = extractors.perceptual_distance()(generated.half(), target.half())
    assert values.tolist() == pytest.approx([0, 0.5, 1.0]) and not values.requires_grad


def test_the_real_perceptual_distance_orders_distortions():
    pytest.importorskip("stlpips_pytorch.stlpips", reason="ST-LPIPS ABSENT: this check did not run")
    target = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    distance = extractors.perceptual_distance()
    assert distance(target, target).abs().max() < 1e-6
    assert (distance(-target, target) > distance(0.9 * target, target)).all()
