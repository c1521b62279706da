"""The coarse motion's training: moments move as their maps do, and a fit finds a known motion."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from model_core.backbones.warp.moments import component_moments
from model_core.backbones.warp.reference_warp import CoarseMotion
from model_core.errors import InputError
from model_core.motion.random_scaling import GROUPS, scale_components
from model_core.training.avatars import make_clip, write_identity
from model_core.training.clips import list_clips
from model_core.training.coarse import coarse_batch, coarse_data, fit_coarse, move_moments, scale_moments
from model_core.training.drawing import parsing_map

SIZE = (128, 128)


@pytest.fixture(scope="module")
def clip() -> dict[str, np.ndarray]:
    return make_clip(3, frames=3, drivers=1)


def moments(face: np.ndarray) -> torch.Tensor:
    return component_moments(parsing_map(face, SIZE)[None])


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Alike but for what pixels blur, and for a mouth whose centre is taken to be the upper lip's: under a pixel."""
    assert (found[..., 1:3] - expected[..., 1:3]).abs().mean() < 0.012
    assert (found[..., 3:] - expected[..., 3:]).abs().mean() < 1.5e-3


def test_moved_moments_are_the_moments_of_the_moved_map(clip: dict[str, np.ndarray]) -> None:
    face = clip["landmarks"][0]
    moved = (face - 64) * np.float32(1.2) + 64 + np.float32([3, -5, 0])
    found = move_moments(moments(face), torch.tensor([[1.2]]), torch.tensor([[3 / 64, -5 / 64]]))
    close(found, moments(moved))
    assert (found - moments(face)).abs()[..., 1:3].max() > 0.05


def test_scaled_moments_are_the_moments_of_the_scaled_map(clip: dict[str, np.ndarray]) -> None:
    face = clip["landmarks"][1]
    factors = np.linspace(0.8, 1.2, len(GROUPS))
    scaled = scale_components(face, factors, face_factor=1.25)
    found = scale_moments(moments(face), torch.tensor(factors)[None].float(), torch.tensor([[1.25]]))
    close(found, moments(scaled))


def test_scaling_by_one_changes_nothing(clip: dict[str, np.ndarray]) -> None:
    own = moments(clip["landmarks"][0])
    torch.testing.assert_close(scale_moments(own, torch.ones(1, 6), torch.ones(1, 1)), own)


def test_a_fit_halves_the_error_of_standing_still(tmp_path: Path) -> None:
    for seed in range(4):
        write_identity(tmp_path, seed, frames=6, drivers=1)
    data = coarse_data(list_clips(tmp_path), progress=False)
    assert data.moments.shape == (4, 2, 6, 10, 6)
    torch.manual_seed(0)
    coarse = CoarseMotion()
    *_, places, wanted = coarse_batch(data, torch.Generator().manual_seed(9), relative=0.5)
    still = (wanted - places).norm(dim=-1).nanmean()
    assert fit_coarse(coarse, data, steps=150, seed=0, relative=0.5, progress=False) < 0.5 * float(still)


def test_clips_without_a_true_flow_are_not_enough(tmp_path: Path) -> None:
    with np.errstate(all="ignore"):
        np.savez(
            tmp_path / "0.npz",
            images=np.zeros((2, 8, 8, 3), np.uint8),
            foreground=np.zeros((2, 8, 8), np.uint8),
            landmarks=np.zeros((2, 478, 3), np.float32),
        )
    with pytest.raises(InputError, match="coarse_steps"):
        coarse_data(list_clips(tmp_path), progress=False)
