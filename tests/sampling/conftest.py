"""A backbone whose right answer is known, and which writes down what it was asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest
import torch
from torch import Tensor

from model_core.config import ScheduleConfig
from model_core.types import Branch, LatentSpec


@dataclass(frozen=True)
class FakeConditioning:
    """The clean latents (1, F, C, h, w) of its frames, their numbers, and how much history is in front."""

    clean: Tensor
    frames: tuple[int, ...]
    num_history: int = 0

    def take(self, frames: Sequence[int]) -> FakeConditioning:
        index = list(frames)
        return replace(
            self,
            clean=self.clean[:, index],
            frames=tuple(self.frames[i] for i in index),
            num_history=self.num_history if index[0] == 0 else 0,
        )


@dataclass(frozen=True)
class Call:
    frames: tuple[int, ...]
    timestep: float
    branches: tuple[Branch, ...]
    num_history: int


@dataclass
class FakeBackbone:
    """Predicts exactly what turns its input into the conditioning's clean latents, frame by frame."""

    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    latent_spec: LatentSpec = LatentSpec(channels=2, stride=4)
    calls: list[Call] = field(default_factory=list)

    @property
    def prediction_type(self) -> str:
        return self.schedule.prediction_type

    def predict(
        self, latents: Tensor, timestep: Tensor, conditioning: FakeConditioning, branches: Sequence[Branch]
    ) -> dict[Branch, Tensor]:
        assert latents.shape[1] == len(conditioning.frames)
        assert timestep.shape == () and timestep.device == latents.device
        self.calls.append(Call(conditioning.frames, float(timestep), tuple(branches), conditioning.num_history))
        prediction = self.right_answer(latents, timestep, conditioning.clean.to(latents))
        return dict.fromkeys(branches, prediction)

    def right_answer(self, noisy: Tensor, timestep: Tensor, clean: Tensor) -> Tensor:
        """Written from the definitions, in float64, independently of ``sampling.schedule``."""
        kind, dtype = self.prediction_type, noisy.dtype
        noisy, clean = noisy.double(), clean.double()
        if kind == "sample":
            return clean.to(dtype)
        if kind == "flow":
            return ((noisy - clean) / (timestep / self.schedule.num_train_timesteps)).to(dtype)
        kept = float(alphas_cumprod(self.schedule)[int(round(float(timestep)))])
        alpha, sigma = kept**0.5, (1 - kept) ** 0.5
        noise = (noisy - alpha * clean) / sigma
        return (noise if kind == "epsilon" else alpha * noise - sigma * clean).to(dtype)


def alphas_cumprod(schedule: ScheduleConfig) -> Tensor:
    """(T,) float64 for scaled_linear betas; rescaled as Lin et al. 2024 (zero terminal SNR), algorithm 1."""
    ends = torch.tensor([schedule.beta_start, schedule.beta_end], dtype=torch.float64).sqrt()
    steps = schedule.num_train_timesteps
    betas = torch.linspace(float(ends[0]), float(ends[1]), steps, dtype=torch.float64).square()
    kept = (1 - betas).cumprod(0)
    if not schedule.rescale_betas_zero_snr:
        return kept
    root = kept.sqrt()
    return ((root - root[-1]) * root[0] / (root[0] - root[-1])).square()


@pytest.fixture
def make_backbone() -> Callable[..., FakeBackbone]:
    return FakeBackbone


@pytest.fixture
def make_conditioning() -> Callable[..., FakeConditioning]:
    """``make_conditioning(num_frames, history=0)``: random clean latents (1, F, 2, 3, 4)."""

    def make(num_frames: int, history: int = 0) -> FakeConditioning:
        generator = torch.Generator().manual_seed(99)
        clean = torch.randn((1, num_frames, 2, 3, 4), generator=generator)
        return FakeConditioning(clean, tuple(range(num_frames)), history)

    return make


@pytest.fixture
def reference_alphas_cumprod() -> Callable[[ScheduleConfig], Tensor]:
    return alphas_cumprod
