"""Explicit frozen settings, saved in the safetensors metadata of what they describe."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from .errors import InputError
from .types import MotionKind, PredictionType


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """The noise schedule a model was trained with; SD1.5 values as defaults (VividPortraits preset).

    ``prediction_type`` is any that diffusers knows; "flow" means flow matching. ``clean_end`` lets DDIM end at clean
    latents whatever the number of steps; diffusers' own ends a little short of them where 1000 is no multiple of it.
    """

    num_train_timesteps: int = 1000
    beta_start: float = 0.00085
    beta_end: float = 0.012
    beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2"] = "scaled_linear"
    prediction_type: PredictionType = "v_prediction"
    rescale_betas_zero_snr: bool = True
    timestep_spacing: Literal["trailing", "leading", "linspace"] = "trailing"
    flow_shift: float = 1.0
    clean_end: bool = True


SchedulerName = Literal["ddim", "euler", "dpmpp_2m", "lcm", "unipc"]

LCM_STEPS = 50
"""The most steps that the scheduler "lcm" makes: those of the solver that it was distilled from."""


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """How to sample; a model carries its own defaults.

    Attributes:
        steps: denoising steps, each one call of the network for every window, >= 0; 0 is the carried portrait alone.
        denoise: in (0, 1], the last part of the schedule that ``steps`` walk, as in ComfyUI's KSampler; 1 starts from
            pure noise, lower values start from the carried portrait with the noise of that part's begin.
        scheduler: diffusers scheduler by short name.
        seed: of the initial noise (drawn on the CPU, so the same on every device).
        window: frames denoised together, >= 1.
        overlap: frames shared by neighbouring windows, 0 <= overlap < window.
        identity, motion, continuity: lambda_s, lambda_d, lambda_p of signal fusion; 1, 1, 1 computes one branch.
        guidance_start, guidance_end: part of the steps, in [0, 1], with fusion; outside it only FULL runs.
        history: finished frames given to the next chunk, >= 0.
        chunk: frames sampled, decoded and written at a time, >= window.
        cyclic: shift the windows by one frame after every step (VividPortraits); False keeps them in place.
        blend: how overlapping predictions are averaged, see sampling/windows.py.
        wrapped: AnimateAnyone's windows instead, which stay in place and wrap around (sampling/windows.py).
    """

    steps: int = 20
    denoise: float = 1.0
    scheduler: SchedulerName = "ddim"
    seed: int = 0
    window: int = 16
    overlap: int = 4
    identity: float = 1.0
    motion: float = 1.0
    continuity: float = 1.0
    guidance_start: float = 0.0
    guidance_end: float = 1.0
    history: int = 3
    chunk: int = 64
    cyclic: bool = True
    blend: Literal["uniform", "linear", "gaussian"] = "uniform"
    wrapped: bool = False

    def __post_init__(self) -> None:
        check_denoise(self.denoise)


def check_denoise(denoise: float) -> None:
    """Raise InputError unless ``denoise`` is a part of the schedule: above 0, and at most 1."""
    if not 0 < denoise <= 1:  # refuses NaN too
        raise InputError(
            f"denoise {denoise}: must be above 0 and at most 1; 1 starts from pure noise, lower values keep more "
            "of the carried portrait"
        )


@dataclass(frozen=True, kw_only=True)
class AutoencoderConfig:
    """``fold``: lossless space-to-depth by ``stride``. ``kl``: diffusers' AutoencoderKL built from ``kl``.

    Latents of ``kl`` are ``(mean - shift_factor) * scaling_factor``; only Stable Diffusion 3's are shifted.
    """

    kind: Literal["fold", "kl"] = "fold"
    stride: int = 4
    scaling_factor: float = 1.0
    shift_factor: float = 0.0
    kl: dict[str, Any] = field(default_factory=dict)


NumberFormat = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """All that is needed to build a model before its weights are read.

    Attributes:
        name: as shown to users.
        family: "unet" (VividPortraits) or "dit" (Stable Video-Driven Portraits).
        size: (H, W) in pixels that the model was trained at.
        motion_kind: the motion signal it takes.
        backbone: the backbone's own config as a plain dict (see backbones/<family>/config.py).
        dtypes: number formats in whose range the model stays. One that is left out is never chosen automatically;
            float32 is always taken to be wide enough.
    """

    name: str
    family: Literal["unet", "dit"] = "unet"
    size: tuple[int, int] = (128, 128)
    motion_kind: MotionKind = "parsing_map"
    backbone: dict[str, Any] = field(default_factory=dict)
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    dtypes: tuple[NumberFormat, ...] = ("float32", "bfloat16", "float16")

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelConfig:
        """Rebuild from ``to_dict`` (after JSON); unknown keys raise TypeError. Older files say nothing of dtypes."""
        values = dict(values)
        values["size"] = tuple(values["size"])
        if "dtypes" in values:
            values["dtypes"] = tuple(values["dtypes"])
        values["autoencoder"] = AutoencoderConfig(**values["autoencoder"])
        values["schedule"] = ScheduleConfig(**values["schedule"])
        values["sampling"] = SamplingConfig(**values["sampling"])
        return cls(**values)
