"""Noise schedules: diffusers' schedulers behind short names, and the same schedule for training.

A noisy latent is ``alpha * clean + sigma * noise``: variance-preserving (alpha^2 + sigma^2 = 1) for the
Stable Diffusion 1.5 family, a straight line (alpha + sigma = 1, timestep = sigma * num_train_timesteps) for
flow matching. Training and the loop take alpha and sigma from here, so loss and sampler cannot disagree.
"""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    LCMScheduler,
    SchedulerMixin,
    UniPCMultistepScheduler,
)
from diffusers.schedulers.scheduling_ddim import DDIMSchedulerOutput
from torch import Tensor

from ..config import LCM_STEPS, ScheduleConfig, SchedulerName, check_denoise
from ..errors import InputError
from ..types import PredictionType

_FLOW_NAMES = ("euler", "dpmpp_2m", "unipc")


class CleanEndDDIM(DDIMScheduler):
    """diffusers' DDIM whose last step ends at the clean latents.

    Where 1000 is no multiple of the steps (6, 7, 15, 24 ...), diffusers' last step may end at timestep 0,
    which leaves 3 % of noise in the result; all other steps are diffusers' own.
    """

    def step(self, model_output: Tensor, timestep: Tensor, sample: Tensor, **options: Any) -> DDIMSchedulerOutput:
        result = super().step(model_output, timestep, sample, **options)
        if timestep == self.timesteps[-1]:
            result.prev_sample = result.pred_original_sample
        return result


class FlowEuler(FlowMatchEulerDiscreteScheduler):
    """diffusers' flow-matching Euler with the three members that its other schedulers have."""

    init_noise_sigma = 1.0

    def scale_model_input(self, sample: Tensor, timestep: Tensor) -> Tensor:
        return sample

    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        return self.scale_noise(original_samples, timesteps, noise)


def make_scheduler(config: ScheduleConfig, name: SchedulerName = "ddim") -> SchedulerMixin:
    """A fresh scheduler for a model's schedule. Deterministic (DDIM has eta 0), except "lcm".

    Raises:
        InputError: for an unknown name, or one that cannot sample this prediction type; lists those that can.
    """
    flow = config.prediction_type == "flow"
    possible = _FLOW_NAMES if flow else get_args(SchedulerName)
    if name not in possible:
        raise InputError(
            f"scheduler {name!r} cannot sample a model that predicts {config.prediction_type!r}; "
            f"choose one of {', '.join(possible)}"
        )
    if config.prediction_type == "epsilon" and config.rescale_betas_zero_snr:
        raise InputError(
            "schedule: a model that predicts epsilon cannot start from zero terminal SNR, where noise says "
            "nothing about the image; set rescale_betas_zero_snr to false or use a v_prediction model"
        )
    return _flow_scheduler(config, name) if flow else _diffusion_scheduler(config, name)


def _flow_scheduler(config: ScheduleConfig, name: SchedulerName) -> SchedulerMixin:
    steps = config.num_train_timesteps
    if name == "euler":
        return FlowEuler(num_train_timesteps=steps, shift=config.flow_shift)
    solver = DPMSolverMultistepScheduler if name == "dpmpp_2m" else UniPCMultistepScheduler
    return solver(
        num_train_timesteps=steps,
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        flow_shift=config.flow_shift,
    )


def _diffusion_scheduler(config: ScheduleConfig, name: SchedulerName) -> SchedulerMixin:
    shared: dict[str, Any] = {
        "num_train_timesteps": config.num_train_timesteps,
        "beta_start": config.beta_start,
        "beta_end": config.beta_end,
        "beta_schedule": config.beta_schedule,
        "prediction_type": config.prediction_type,
        "rescale_betas_zero_snr": config.rescale_betas_zero_snr,
        "timestep_spacing": config.timestep_spacing,
    }
    if name == "ddim":
        solver = CleanEndDDIM if config.clean_end else DDIMScheduler
        return solver(**shared, clip_sample=False, set_alpha_to_one=True)
    if name == "lcm":
        return LCMScheduler(**shared, original_inference_steps=LCM_STEPS, clip_sample=False, set_alpha_to_one=True)
    if name == "euler":
        return EulerDiscreteScheduler(**shared)
    if name == "dpmpp_2m":
        return DPMSolverMultistepScheduler(**shared, algorithm_type="dpmsolver++", solver_order=2)
    return UniPCMultistepScheduler(**shared)


def start(scheduler: SchedulerMixin, steps: int, denoise: float = 1.0) -> Tensor:
    """Set the timesteps and forget any earlier run.

    Timesteps stay on the CPU, where schedulers look up their tables: no step waits for a GPU.

    Args:
        steps: to walk, >= 1.
        denoise: the part of the schedule to walk, in (0, 1]. Below 1 it is ComfyUI's: a schedule of
            ``steps / denoise`` steps, rounded, is made, and its last ``steps`` are walked; where that rounds to
            ``steps`` itself, the walk starts at the very top. LCM takes its steps evenly from this part of its
            solver, as its authors do, and starts where it is told.
    Returns:
        (steps,), the timesteps to walk, falling.
    Raises:
        InputError: if ``denoise`` is out of range, or the scheduler cannot make this many steps in that part.
    """
    check_denoise(denoise)
    is_lcm = isinstance(scheduler, LCMScheduler)
    limit = scheduler.config.original_inference_steps if is_lcm else scheduler.config.num_train_timesteps
    _check_steps(steps, denoise, most=int(limit * denoise))
    whole = steps if is_lcm else whole_schedule(steps, denoise)
    if isinstance(scheduler, FlowEuler):
        # Evenly from 1 towards 0: diffusers' own default spends its last step at sigma 0.001, on nothing.
        scheduler.set_timesteps(sigmas=np.linspace(1, 1 / whole, whole).tolist())
    elif is_lcm:
        scheduler.set_timesteps(whole, strength=denoise)
    else:
        scheduler.set_timesteps(whole)
        _drop_surplus(scheduler, whole)
        if _prediction_type(scheduler) == "flow":
            # diffusers cuts these to whole numbers; the network was trained with sigma's own timestep.
            scheduler.timesteps = scheduler.sigmas[:-1] * scheduler.config.num_train_timesteps
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(whole - steps)
    return scheduler.timesteps[whole - steps :]


def whole_schedule(steps: int, denoise: float) -> int:
    """Steps of the schedule whose last ``steps`` are the part ``denoise`` of it; never fewer than ``steps``."""
    return max(steps, round(steps / denoise))


def _check_steps(steps: int, denoise: float, *, most: int) -> None:
    if 1 <= steps <= most:
        return
    if denoise == 1:
        raise InputError(f"steps {steps}: this scheduler can make 1 to {most}")
    raise InputError(
        f"steps {steps}, denoise {denoise}: this scheduler can make {min(1, most)} to {most} in that part of its "
        "schedule; change steps, or raise denoise"
    )


def _drop_surplus(scheduler: SchedulerMixin, steps: int) -> None:
    """For some numbers of steps (61, 103 ...) diffusers' trailing spacing adds a timestep -1 by rounding."""
    if len(scheduler.timesteps) > steps:
        scheduler.timesteps = scheduler.timesteps[:steps]
        scheduler.num_inference_steps = steps
        if hasattr(scheduler, "sigmas"):
            scheduler.sigmas = torch.cat([scheduler.sigmas[:steps], scheduler.sigmas[-1:]])


def first_latents(scheduler: SchedulerMixin, clean: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
    """Clean latents as noisy, and in the scale, as a started scheduler expects them at its first timestep.

    Args:
        clean, noise: (B, F, C, h, w), float32.
        timestep: the first that ``start`` returned.
    """
    if hasattr(scheduler, "sigmas"):  # Euler keeps latents in a scale of its own; and its timesteps may be fractions
        return scheduler.add_noise(clean, noise, timestep.reshape(1))
    return add_noise(scheduler, clean, noise, timestep)


def advance(
    scheduler: SchedulerMixin,
    prediction: Tensor,
    timestep: Tensor,
    latents: Tensor,
    generator: torch.Generator | None,
) -> Tensor:
    """The scheduler's own step: latents at ``timestep`` to latents at the next, less noisy one."""
    # Only LCM draws noise; not every scheduler's step takes a generator.
    extra = {"generator": generator} if isinstance(scheduler, LCMScheduler) else {}
    return scheduler.step(prediction, timestep, latents, **extra).prev_sample


def training_scheduler(config: ScheduleConfig) -> SchedulerMixin:
    """The schedule as training needs it: any sampler of the same noise."""
    return make_scheduler(config, "euler" if config.prediction_type == "flow" else "ddim")


def timesteps_at(scheduler: SchedulerMixin, share: Tensor) -> Tensor:
    """Timesteps by their share of the whole way from clean to noise, in [0, 1].

    Whole numbers for diffusion, whose schedule is a table; any number for flow matching.
    """
    total = scheduler.config.num_train_timesteps
    if _prediction_type(scheduler) == "flow":
        return share * total
    return (share * total).long().clamp(max=total - 1)


def add_noise(scheduler: SchedulerMixin, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
    """Make latents as noisy as they are at a timestep.

    Args:
        clean, noise: (B, F, C, h, w).
        timesteps: (B,) or scalar, in 0 to num_train_timesteps - 1; for flow matching any number from 0 to
            num_train_timesteps.
    """
    alpha, sigma = _alpha_sigma(scheduler, timesteps, clean)
    return alpha * clean + sigma * noise


def prediction_target(scheduler: SchedulerMixin, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
    """What a network should predict of ``add_noise(scheduler, clean, noise, timesteps)``; same arguments."""
    kind = _prediction_type(scheduler)
    if kind == "epsilon":
        return noise
    if kind == "sample":
        return clean
    if kind == "flow":
        return noise - clean
    alpha, sigma = _alpha_sigma(scheduler, timesteps, clean)
    return alpha * noise - sigma * clean


def clean_from_prediction(scheduler: SchedulerMixin, prediction: Tensor, noisy: Tensor, timesteps: Tensor) -> Tensor:
    """The clean latents that a prediction stands for: the inverse of ``prediction_target``.

    Args:
        prediction, noisy: (B, F, C, h, w); ``noisy`` as the network sees it (after ``scale_model_input``).
        timesteps: (B,) or scalar.
    """
    kind = _prediction_type(scheduler)
    if kind == "sample":
        return prediction
    alpha, sigma = _alpha_sigma(scheduler, timesteps, noisy)
    if kind == "epsilon":
        return (noisy - sigma * prediction) / alpha
    if kind == "flow":
        return noisy - sigma * prediction
    return alpha * noisy - sigma * prediction


def _prediction_type(scheduler: SchedulerMixin) -> PredictionType:
    kind = scheduler.config.get("prediction_type", "flow_prediction")
    return "flow" if kind == "flow_prediction" else kind


def _alpha_sigma(scheduler: SchedulerMixin, timesteps: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """alpha and sigma per item of the batch, in a shape that multiplies ``like``."""
    timesteps = timesteps.reshape(-1, *[1] * (like.ndim - 1)).to(like.device)
    if _prediction_type(scheduler) == "flow":
        sigma = timesteps / scheduler.config.num_train_timesteps
        return (1 - sigma).to(like.dtype), sigma.to(like.dtype)
    kept = scheduler.alphas_cumprod.to(like.device)[timesteps.round().long()]
    return kept.sqrt().to(like.dtype), (1 - kept).sqrt().to(like.dtype)
