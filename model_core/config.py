"""Explicit frozen settings, saved in the safetensors metadata of what they describe."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from .bounds import Bounds, Share, check_arguments, check_settings, listed
from .errors import InputError
from .types import MotionKind, PredictionType

Side = Annotated[int, Bounds(8, 4096)]
"""Pixels along a side of a model's frame."""
Width = Annotated[int, Bounds(1, 16384)]
"""Channels of a layer, or heads of an attention."""
Scale = Annotated[float, Bounds(-100, 100)]
"""Of signal fusion."""


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """The noise schedule a model was trained with; SD1.5 values as defaults (VividPortraits preset).

    ``prediction_type`` is any that diffusers knows; "flow" means flow matching. ``clean_end`` lets DDIM end at clean
    latents whatever the number of steps; diffusers' own ends a little short of them where 1000 is no multiple of it.
    """

    num_train_timesteps: Annotated[int, Bounds(1, 100_000)] = 1000
    beta_start: Annotated[float, Bounds(0, 1, above=True)] = 0.00085
    beta_end: Annotated[float, Bounds(0, 1, above=True)] = 0.012
    beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2"] = "scaled_linear"
    prediction_type: PredictionType = "v_prediction"
    rescale_betas_zero_snr: bool = True
    timestep_spacing: Literal["trailing", "leading", "linspace"] = "trailing"
    flow_shift: Annotated[float, Bounds(0, 100, above=True)] = 1.0
    clean_end: bool = True

    def __post_init__(self) -> None:
        check_settings(self, what="schedule: ")


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

    steps: Annotated[int, Bounds(0, 1000)] = 20
    denoise: Annotated[float, Bounds(0, 1, above=True)] = 1.0
    scheduler: SchedulerName = "ddim"
    seed: Annotated[int, Bounds(0, 2**64 - 1)] = 0
    window: Annotated[int, Bounds(1, 1024)] = 16
    overlap: Annotated[int, Bounds(0, 1023)] = 4
    identity: Scale = 1.0
    motion: Scale = 1.0
    continuity: Scale = 1.0
    guidance_start: Share = 0.0
    guidance_end: Share = 1.0
    history: Annotated[int, Bounds(0, 1024)] = 3
    chunk: Annotated[int, Bounds(1, 100_000)] = 64
    cyclic: bool = True
    blend: Literal["uniform", "linear", "gaussian"] = "uniform"
    wrapped: bool = False

    def __post_init__(self) -> None:
        check_settings(self)
        if self.overlap >= self.window:
            raise InputError(
                f"overlap {self.overlap} with window {self.window}: the overlap must be at least 0 and smaller than "
                "the window"
            )
        if self.guidance_start > self.guidance_end:
            raise InputError(
                f"guidance_start {self.guidance_start} is after guidance_end {self.guidance_end}; 0 and 1 guide all "
                "steps"
            )


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
    stride: Annotated[int, Bounds(1, 64)] = 4
    scaling_factor: Annotated[float, Bounds(0, 1000, above=True)] = 1.0
    shift_factor: Annotated[float, Bounds(-1000, 1000)] = 0.0
    kl: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_settings(self, what="autoencoder: ")
        check_arguments(self.kl, what="autoencoder.kl: ")


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
    size: tuple[Side, Side] = (128, 128)
    motion_kind: MotionKind = "parsing_map"
    backbone: dict[str, Any] = field(default_factory=dict)
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    dtypes: Annotated[tuple[NumberFormat, ...], Bounds(0, 3)] = ("float32", "bfloat16", "float16")

    def __post_init__(self) -> None:
        check_settings(self, what="model: ")
        if any(side % self.autoencoder.stride for side in self.size):
            raise InputError(
                f"model: size {self.size[0]} x {self.size[1]}: both sides must be multiples of the autoencoder's "
                f"stride, {self.autoencoder.stride}"
            )

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelConfig:
        """Rebuild from ``to_dict`` (after JSON). Older files say nothing of dtypes.

        Raises:
            InputError: a setting does not fit.
            TypeError, KeyError: settings are unknown or missing.
        """
        values = dict(values)
        values["size"] = listed(values["size"])
        if "dtypes" in values:
            values["dtypes"] = listed(values["dtypes"])
        values["autoencoder"] = AutoencoderConfig(**values["autoencoder"])
        values["schedule"] = ScheduleConfig(**values["schedule"])
        values["sampling"] = SamplingConfig(**values["sampling"])
        return cls(**values)
