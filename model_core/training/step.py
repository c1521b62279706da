"""The training step: one module from a batch to its loss, so that accelerate can wrap it whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from diffusers import SchedulerMixin
from torch import Tensor, nn

from ..autoencoders import FoldAutoencoder, KLAutoencoder
from ..backbones.base import PortraitBackbone
from ..errors import InputError
from ..sampling.schedule import add_noise, clean_from_prediction, prediction_target, timesteps_at
from ..types import Baseline, Branch, ReferenceInputs
from .activations import StreamMeter
from .config import ConditionConfig

_SLOPES = 0.5
"""What the error of differences between neighbours counts along each axis, against that of values."""


@dataclass(frozen=True)
class StepPlan:
    """What one step trains, drawn from (seed, step) so that a resumed run draws the same.

    Attributes:
        branch: the branch of signal fusion.
        history: whether history frames are shown.
        seed: of timesteps and noise.
        own_estimate: whether the noisy latents are made from the model's own estimate.
    """

    branch: Branch
    history: bool
    seed: int
    own_estimate: bool = False


def plan_step(config: ConditionConfig, *, seed: int, step: int, steps: int) -> StepPlan:
    """Draw branch and history of one step (condition dropout, zeroed-history curriculum)."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
    draw, history_draw, own_draw = torch.rand(3, generator=generator).tolist()
    noise_seed = int(torch.randint(2**62, (1,), generator=generator))
    if draw < config.unconditional:
        return StepPlan(Branch.UNCONDITIONAL, False, noise_seed)
    if draw < config.unconditional + config.reference:
        return StepPlan(Branch.REFERENCE, False, noise_seed)
    history = step >= config.history_after * steps and history_draw < 0.5
    own = own_draw < config.own_estimate
    return StepPlan(Branch.FULL if history else Branch.DRIVING, history, noise_seed, own)


class TrainingStep(nn.Module):
    """Loss of one batch of prepared clips.

    Args:
        backbone: the networks that train.
        autoencoder: frozen.
        scheduler: the same noise schedule that sampling uses.
        stage: see ``TrainConfig``; stage 2 runs the temporal layers.
        num_history: history frames at the front of every sample.
    """

    def __init__(
        self,
        backbone: PortraitBackbone,
        autoencoder: FoldAutoencoder | KLAutoencoder,
        scheduler: SchedulerMixin,
        condition: ConditionConfig,
        *,
        stage: int,
        num_history: int,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.autoencoder = autoencoder
        self.autoencoder.requires_grad_(False)
        self.scheduler = scheduler
        if condition.loss == "pixels" and not isinstance(autoencoder, FoldAutoencoder):
            raise InputError("condition.loss 'pixels': needs latents of folded pixels; choose 'squared' for this model")
        self.condition = condition
        self.temporal = stage == 2
        self.num_history = num_history
        self.streams = StreamMeter(backbone) if condition.activation_limit else None

    def forward(self, batch: dict[str, Tensor], plan: StepPlan) -> Tensor:
        """The weighted error of the prediction, and what too large activations cost; a scalar.

        Args:
            batch: stacked items of ``ClipDataset``.
        """
        clean = self._encode(batch["frames"])
        history, target = clean[:, : self.num_history], clean[:, self.num_history :]
        noise, timesteps = self._noise(target, plan)
        reference = self.backbone.encode_reference(self._reference(batch))
        motion = batch["motion"]
        conditioning = self.backbone.condition(
            reference,
            motion[:, self.num_history :],
            baseline=self._baseline(batch),
            history_latents=history if plan.history else None,
            history_motion=motion[:, : self.num_history] if plan.history else None,
        )
        # another clip's noise: what the estimate was made from must not be what it is hidden under
        start = self._own_estimate(noise.roll(1, 0), conditioning, plan) if plan.own_estimate else target
        noisy = add_noise(self.scheduler, start, noise, timesteps)
        prediction = self.backbone.predict_branch(noisy, timesteps, conditioning, plan.branch, temporal=self.temporal)
        if self.condition.loss == "pixels":
            loss = self._in_pixels(clean_from_prediction(self.scheduler, prediction.float(), noisy, timesteps), batch)
        else:
            error = self._error(prediction.float(), noisy, target, noise, timesteps)
            loss = (error * self._weights(batch, (error.shape[-2], error.shape[-1])).unsqueeze(2)).mean()
        return loss if self.streams is None else loss + self.streams.excess(self.condition.activation_limit)

    def _error(self, prediction: Tensor, noisy: Tensor, target: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        if self.condition.clean_loss:
            return (clean_from_prediction(self.scheduler, prediction, noisy, timesteps) - target).square()
        return (prediction - prediction_target(self.scheduler, target, noise, timesteps)).square()

    def _in_pixels(self, clean: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """The weighted absolute error of the clean picture and of its slopes, for folded latents (B, F, C, h, w)."""
        assert isinstance(self.autoencoder, FoldAutoencoder)
        made = self.autoencoder.unfold(clean.flatten(0, 1)).unflatten(0, clean.shape[:2])
        error = made - batch["frames"][:, self.num_history :]
        weight = self._weights(batch, (error.shape[-2], error.shape[-1])).unsqueeze(2)
        loss = (weight * error.abs()).mean()
        for axis in (-1, -2):
            length = error.shape[axis] - 1
            slope = error.diff(dim=axis).abs()
            loss = loss + _SLOPES * (weight.narrow(axis, 0, length) * slope).mean()
        return loss

    def _own_estimate(self, noise: Tensor, conditioning: Any, plan: StepPlan) -> Tensor:
        """What the first sampling step would make of pure noise, without gradients."""
        last = timesteps_at(self.scheduler, torch.ones((), device=noise.device))
        with torch.no_grad():
            made = self.backbone.predict_branch(noise, last, conditioning, plan.branch, temporal=self.temporal)
        # some versions of torch would use the weights that autocast has cast without gradients for the step itself
        torch.clear_autocast_cache()
        return clean_from_prediction(self.scheduler, made.float(), noise, last)

    def _encode(self, frames: Tensor) -> Tensor:
        with torch.no_grad():
            return self.autoencoder.encode(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])

    def _reference(self, batch: dict[str, Tensor]) -> ReferenceInputs:
        with torch.no_grad():
            latents = self.autoencoder.encode(batch["reference"])
        return ReferenceInputs(batch["reference"], latents, batch["reference_foreground"], batch["reference_motion"])

    def _baseline(self, batch: dict[str, Tensor]) -> Baseline | None:
        if "baseline" not in batch:
            return None
        return Baseline(self._encode(batch["baseline"]), batch["validity"])

    def _noise(self, target: Tensor, plan: StepPlan) -> tuple[Tensor, Tensor]:
        """Noise (B, F, C, h, w) and timesteps (B,), from the plan's seed on the CPU."""
        generator = torch.Generator().manual_seed(plan.seed)
        noise = torch.randn(target.shape, generator=generator).to(target)
        draw = torch.rand(target.shape[0], generator=generator) ** (1 / self.condition.high_noise)
        return noise, timesteps_at(self.scheduler, draw.to(target.device))

    def _weights(self, batch: dict[str, Tensor], size: tuple[int, int]) -> Tensor:
        """(B, F, *size), of mean 1: those at image size; for latents averaged, which is exact where they are folded."""
        condition = self.condition
        person, parts, mouth, eyes = batch["weights"].unbind(2)
        weight = 1 + condition.person_weight * person + condition.component_weight * parts
        weight = weight + condition.mouth_weight * mouth + condition.eye_weight * eyes
        if "validity" in batch:
            weight = weight + condition.validity_weight * (1 - batch["validity"].squeeze(2))
        pooled = nn.functional.adaptive_avg_pool2d(weight, size)
        return pooled / pooled.mean()
