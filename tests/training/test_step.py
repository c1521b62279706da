"""The loss of one step, on a model whose prediction is known: a fresh one predicts its baseline."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

from model_core.autoencoders import KLAutoencoder
from model_core.config import ModelConfig
from model_core.errors import InputError
from model_core.models import build_model
from model_core.sampling.schedule import add_noise, training_scheduler
from model_core.training.config import ConditionConfig
from model_core.training.step import StepPlan, TrainingStep
from model_core.types import Branch


def batch_with_a_hole() -> dict[str, Tensor]:
    """Two samples whose baseline is right but for a square, of which it says that it shows nothing."""
    generator = torch.Generator().manual_seed(0)
    frames = torch.rand(2, 1, 3, 32, 32, generator=generator) * 2 - 1
    baseline, validity = frames.clone(), torch.ones(2, 1, 1, 32, 32)
    baseline[..., 8:16, 8:16] += 0.5
    validity[..., 8:16, 8:16] = 0
    return {
        "reference": frames[:, 0],
        "reference_foreground": torch.ones(2, 1, 32, 32),
        "reference_motion": torch.rand(2, 3, 32, 32, generator=generator),
        "frames": frames,
        "motion": torch.rand(2, 1, 3, 32, 32, generator=generator),
        "weights": torch.zeros(2, 1, 4, 32, 32),
        "baseline": baseline,
        "validity": validity,
    }


@pytest.fixture
def step(tiny_config: ModelConfig) -> TrainingStep:
    torch.manual_seed(0)
    model = build_model(dataclasses.replace(tiny_config, backbone={**tiny_config.backbone, "baseline": True}))
    scheduler = training_scheduler(model.config.schedule)
    condition = ConditionConfig()
    return TrainingStep(model.backbone, model.autoencoder, scheduler, condition, stage=1, num_history=0)


def loss(step: TrainingStep, branch: Branch = Branch.DRIVING, **condition: Any) -> float:
    step.condition = dataclasses.replace(ConditionConfig(), **condition)
    return step(batch_with_a_hole(), StepPlan(branch, False, seed=1)).item()


def test_a_fresh_model_errs_by_its_baseline_s_error(step: TrainingStep) -> None:
    # pixels are scaled by 2 in latents; a sixteenth of them is half a unit off
    assert loss(step) == pytest.approx((2 * 0.5) ** 2 / 16, rel=1e-4)
    assert loss(step, Branch.REFERENCE) == pytest.approx(0, abs=1e-6)  # the still reference is the target here


def test_the_loss_dwells_where_the_baseline_shows_nothing(step: TrainingStep) -> None:
    plain, dwelling = loss(step), loss(step, validity_weight=3.0)
    assert dwelling == pytest.approx(plain * 4 / (1 + 3 / 16), rel=1e-4)  # the mean of all weights stays 1


def test_it_dwells_on_mouth_and_eyes(step: TrainingStep) -> None:
    batch = batch_with_a_hole()
    batch["weights"][:, :, 2, 8:16, 8:16] = 1  # the hole is a mouth
    batch["weights"][:, :, 3, 24:, 24:] = 1
    step.condition = dataclasses.replace(ConditionConfig(), mouth_weight=3.0, eye_weight=1.0)
    dwelling = step(batch, StepPlan(Branch.DRIVING, False, seed=1)).item()
    assert dwelling == pytest.approx(0.0625 * 4 / (1 + 3 / 16 + 1 / 16), rel=1e-4)


def test_the_error_in_pixels_counts_values_and_edges(step: TrainingStep) -> None:
    # a square of 8 x 8, half a unit off, with 2 * 8 jumps along each axis
    values, slopes = 0.5 * 64 / 1024, 2 * 0.5 * 0.5 * 16 / (31 * 32)
    assert loss(step, loss="pixels") == pytest.approx(values + slopes, rel=1e-3)


def test_the_error_in_pixels_needs_folded_pixels(step: TrainingStep) -> None:
    encoded = KLAutoencoder(torch.nn.Identity(), 1.0)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="choose 'squared'"):
        TrainingStep(step.backbone, encoded, step.scheduler, ConditionConfig(loss="pixels"), stage=1, num_history=0)


def test_an_own_estimate_is_hidden_under_another_noise_than_it_was_made_from(
    step: TrainingStep, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, plan = batch_with_a_hole(), StepPlan(Branch.DRIVING, False, seed=1, own_estimate=True)
    noise, timesteps = step._noise(step._encode(batch["frames"]), plan)
    seen: list[tuple[Tensor, Tensor]] = []
    estimate = torch.full_like(noise, 0.25)

    def predict(latents: Tensor, times: Tensor, *_: object, **__: object) -> Tensor:
        seen.append((latents, times))
        return estimate

    monkeypatch.setattr(step.backbone, "predict_branch", predict)
    step(batch, plan)
    (first, last), (noisy, times) = seen
    assert int(last) == step.scheduler.config.num_train_timesteps - 1 and torch.equal(times, timesteps)
    torch.testing.assert_close(noisy, add_noise(step.scheduler, estimate, noise, timesteps))  # this model predicts it
    assert sorted(clip.sum().item() for clip in first) == sorted(clip.sum().item() for clip in noise)
    assert not any(torch.equal(*pair) for pair in zip(first, noise, strict=True))
