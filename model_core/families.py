"""The families of backbones: how each is built from its config, and whether that can be built and sampled at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from .backbones.base import PortraitBackbone
from .backbones.dit import DiTBackbone, DiTConfig
from .backbones.unet import UNetBackbone, UNetConfig
from .config import ModelConfig, SamplingConfig
from .errors import CheckpointError, InputError
from .sampling.schedule import make_scheduler, start

FAMILIES: Mapping[str, tuple[Callable[..., Any], Callable[[Any, Any], PortraitBackbone]]] = MappingProxyType(
    {
        "unet": (UNetConfig, lambda config, autoencoder: UNetBackbone(config)),
        "dit": (DiTConfig, lambda config, autoencoder: DiTBackbone(config, autoencoder.encode)),
    }
)
"""By family: its config, and how its backbone is built from config and autoencoder."""


def check_config(config: ModelConfig) -> UNetConfig | DiTConfig:
    """The backbone's own config, held to its bounds and to how the model is sampled; nothing is built.

    Raises:
        CheckpointError: settings are unknown, out of bounds, or do not fit together.
    """
    try:
        networks: UNetConfig | DiTConfig = FAMILIES[config.family][0](**config.backbone)
    except TypeError as error:
        raise CheckpointError(
            f"model {config.name}: its backbone has settings that are not known here ({error})"
        ) from error
    if networks.latent_stride != config.autoencoder.stride:
        raise CheckpointError(
            f"model {config.name}: backbone.latent_stride {networks.latent_stride} is not the autoencoder's stride, "
            f"{config.autoencoder.stride}; make them equal"
        )
    remedy = too_many_frames(networks, config.sampling)
    if remedy:
        raise CheckpointError(f"model {config.name}: {remedy}")
    return networks


def too_many_frames(networks: UNetConfig | DiTConfig, sampling: SamplingConfig) -> str:
    """What to do about a window that with its history is longer than the frames that networks tell apart; or empty."""
    most, frames = networks.frames_at_most, sampling.window + sampling.history
    if most is None or frames <= most:
        return ""
    return (
        f"window {sampling.window} with history {sampling.history}: {frames} frames at a time, of which the networks "
        f"know {most}; choose a shorter window or fewer history frames"
    )


def check_sampling(config: ModelConfig, sampling: SamplingConfig) -> None:
    """Whatever of the settings would stop sampling is told before any work.

    Raises:
        InputError: the model cannot be sampled so: too long windows, or a scheduler or steps that are not for it.
    """
    remedy = too_many_frames(check_config(config), sampling)
    if remedy:
        raise InputError(remedy)
    if sampling.steps:
        start(make_scheduler(config.schedule, sampling.scheduler), sampling.steps, sampling.denoise)
