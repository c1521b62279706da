from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from model_core.errors import DependencyError, InputError
from model_core.evaluation import metrics


def clip(frames: int = 3, size: int = 32, *, seed: int = 0) -> torch.Tensor:
    return torch.rand(frames, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def texture(*, shift: int = 0, size: int = 96) -> torch.Tensor:
    """(1, 3, size, size): smooth random blobs, moved to the right by whole pixels."""
    noise = torch.rand(1, 1, 30, 30, generator=torch.Generator().manual_seed(1))
    large = torch.nn.functional.interpolate(noise, size=(240, 240), mode="bicubic").clamp(0, 1)
    return large[..., 40 : 40 + size, 60 - shift : 60 - shift + size].expand(1, 3, size, size) * 2 - 1


# --- per frame ---------------------------------------------------------------------------------------------


@given(offset=st.floats(0.001, 1.0))
@settings(max_examples=25, deadline=None)
def test_constant_offset_in_closed_form(offset):
    """A difference of d everywhere: l1 = d, psnr = 20 log10(2 / d)."""
    target = clip().clamp(-1, 0)
    assert torch.allclose(metrics.l1(target + offset, target), torch.tensor(offset), atol=1e-5)
    expected = 20 * math.log10(2 / offset)
    assert torch.allclose(metrics.psnr(target + offset, target), torch.tensor(expected), atol=1e-2)


def test_agreement_with_torchmetrics_frame_by_frame():
    generated, target = clip(seed=1), clip(seed=2)
    generated[1] = target[1] + 0.1 * generated[1]
    psnr, ssim = metrics.psnr(generated, target), metrics.ssim(generated, target)
    assert psnr.shape == ssim.shape == (3,)
    for index in range(3):
        pair = generated[index : index + 1], target[index : index + 1]
        assert psnr[index] == pytest.approx(peak_signal_noise_ratio(*pair, data_range=2.0).item(), abs=1e-3)
        truth = structural_similarity_index_measure(*pair, data_range=2.0).item()
        assert ssim[index] == pytest.approx(truth, abs=1e-5)
    assert psnr[1] > psnr[0] + 10 and ssim[1] > ssim[0] + 0.3


def test_identical_clips_are_perfect_and_finite():
    same = clip(4)
    assert metrics.psnr(same, same).tolist() == [100.0] * 4
    assert torch.allclose(metrics.ssim(same, same), torch.ones(4))
    for metric in (metrics.l1, metrics.flow_error, metrics.temporal_error, metrics.colour_drift):
        assert metric(same, same).abs().max() == 0


def test_one_frame_has_no_neighbours():
    one = clip(1)
    assert metrics.ssim(one, one).shape == (1,)
    assert metrics.temporal_error(one, one).shape == metrics.flow_error(one, one).shape == (0,)
    assert math.isnan(metrics.mean_of_found(metrics.flow_error(one, one)))


def test_half_precision_is_measured_in_full():
    generated, target = clip(seed=1), clip(seed=2)
    half = metrics.psnr(generated.half(), target.half())
    assert half.dtype == torch.float32 and torch.allclose(half, metrics.psnr(generated, target), atol=1e-2)


def test_different_shapes_and_small_frames_are_refused():
    for metric in (metrics.l1, metrics.psnr, metrics.ssim, metrics.flow_error, metrics.temporal_error):
        with pytest.raises(InputError, match=r"\(2, 3, 32, 32\) and \(3, 3, 32, 32\)"):
            metric(clip(2), clip(3))
    with pytest.raises(InputError, match="at least 11"):
        metrics.ssim(clip(size=10), clip(size=10))


def test_missing_torchmetrics_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchmetrics.functional.image", None)
    with pytest.raises(DependencyError, match="pip install torchmetrics"):
        metrics.ssim(clip(), clip())


# --- landmarks ---------------------------------------------------------------------------------------------


def points(frames: int = 2) -> np.ndarray:
    array = np.random.default_rng(0).uniform(0, 100, (frames, 478, 3)).astype(np.float32)
    array[:, 33, :2], array[:, 263, :2] = (30, 50), (70, 80)  # 50 pixels apart
    return array


def test_landmark_error_in_closed_form():
    truth = points()
    moved = truth + np.array([3, 4, 1000], np.float32)  # 5 pixels; depth does not count
    assert metrics.landmark_error(moved, truth).tolist() == pytest.approx([0.1, 0.1], abs=1e-5)
    assert metrics.landmark_error(truth, truth).tolist() == [0, 0]


@given(scale=st.floats(0.1, 10))
@settings(max_examples=20, deadline=None)
def test_landmark_error_does_not_depend_on_the_size_of_the_picture(scale):
    truth, moved = points(), points() + np.array([6, 8, 0], np.float32)
    scaled = metrics.landmark_error(scale * moved, scale * truth)
    assert torch.allclose(scaled, metrics.landmark_error(moved, truth), rtol=1e-3)


def test_landmark_error_over_chosen_points_and_found_frames():
    truth, moved = points(), points()
    moved[1, 10, 0] += 100
    assert metrics.landmark_error(moved, truth, indices=[10, 11]).tolist() == pytest.approx([0, 1])
    assert metrics.landmark_error(moved, truth, indices=[11, 12]).tolist() == [0, 0]
    error = metrics.landmark_error(moved, truth, found=np.array([True, False]))
    assert error[0] == 0 and error[1].isnan()
    assert metrics.mean_of_found(error) == 0


def test_landmarks_of_other_frames_are_refused():
    with pytest.raises(InputError, match="different shapes"):
        metrics.landmark_error(points(2), points(3))


# --- over time ---------------------------------------------------------------------------------------------


def test_constant_difference_is_no_temporal_error_but_flicker_is():
    target = clip(4).clamp(-0.5, 0.5)
    assert metrics.temporal_error(target + 0.3, target).max() < 1e-6
    flicker = target.clone()
    flicker[1::2] += 0.2
    assert torch.allclose(metrics.temporal_error(flicker, target), torch.full((3,), 0.2), atol=1e-6)


def test_flow_error_is_the_distance_of_the_motions():
    """The target moves by 2 pixels a frame; a still clip is wrong by 2, one that moves along by nothing."""
    target = torch.cat([texture(shift=2 * k) for k in range(4)])
    still = texture().expand(4, -1, -1, -1)
    assert metrics.flow_error(still, target).tolist() == pytest.approx([2.0] * 3, abs=0.35)
    brighter = (0.7 * target + 0.2).clamp(-1, 1)
    assert metrics.flow_error(brighter, target).max() < 0.1


def test_colour_drift_in_closed_form():
    steady = torch.zeros(3, 3, 8, 8)
    drifting = steady.clone()
    drifting[1, 0], drifting[2, :] = 0.3, 0.5
    expected = [0, 0.3, 0.5 * math.sqrt(3)]
    assert metrics.colour_drift(drifting, steady).tolist() == pytest.approx(expected)
    assert metrics.colour_drift(drifting, drifting[:1]).tolist() == pytest.approx(expected)
