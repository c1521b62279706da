"""Our networks in the shape that ComfyUI's own sampling expects: a BaseModel with its schedule and latent format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import comfy.latent_formats
import comfy.model_sampling as model_sampling
import comfy.supported_models_base
import torch
from comfy.model_base import BaseModel, ModelType
from torch import Tensor, nn

if TYPE_CHECKING:
    from ...model_core.config import ScheduleConfig
    from ...model_core.models import PortraitModel
    from ...model_core.types import Branch

_KINDS = {
    "epsilon": (ModelType.EPS, model_sampling.EPS),
    "v_prediction": (ModelType.V_PREDICTION, model_sampling.V_PREDICTION),
    "sample": (ModelType.EPS, model_sampling.X0),
    "flow": (ModelType.FLOW, model_sampling.CONST),
}

_SD3_CHANNELS = 16


class HostedNetworks(BaseModel):
    """All networks of a portrait model as the one module that ComfyUI moves (its name shows in ComfyUI's log).

    ``apply_model`` takes, besides what every BaseModel takes, the ``conditioning`` of the window and the ``branch``.
    """

    def __init__(self, model: PortraitModel) -> None:
        schedule = model.config.schedule
        super().__init__(_model_config(model), _KINDS[schedule.prediction_type][0])
        self.diffusion_model = WindowDenoiser(model.backbone)
        self.autoencoder = model.autoencoder
        self.model_sampling = make_model_sampling(schedule)
        self._config, self._spec = model.config, model.backbone.latent_spec

    def pass_memory(self, frames: int) -> int:
        """Bytes that one pass over some frames needs, beside the weights."""
        from ...model_core.sampling.estimate import activation_memory

        itemsize = self.diffusion_model.dtype.itemsize
        return activation_memory(self._config, self._spec, frames=frames, itemsize=itemsize)

    def memory_required(self, input_shape: Any, cond_shapes: Any = None) -> int:
        """What ComfyUI asks before it samples: windows bound it, however many frames ``input_shape[0]`` says."""
        sampling = self._config.sampling
        return self.pass_memory(min(int(input_shape[0]), sampling.window + sampling.history))


class WindowDenoiser(nn.Module):
    """A backbone that takes the frames of a window as ComfyUI's batch."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    @property
    def dtype(self) -> torch.dtype:
        return next(self.backbone.parameters()).dtype

    def forward(self, x: Tensor, timestep: Tensor, *, conditioning: Any, branch: Branch, **_: Any) -> Tensor:
        """One branch of one window.

        Args:
            x: (F, C, h, w), scaled for the network.
            timestep: (F,), all the same.
        """
        return self.backbone.predict(x[None], timestep[0], conditioning, (branch,))[branch][0]


def _model_config(model: PortraitModel) -> Any:
    config = comfy.supported_models_base.BASE({"disable_unet_model_creation": True})
    config.latent_format = _latent_format(model)
    return config


def _latent_format(model: PortraitModel) -> Any:
    """Channels, and the colours that ComfyUI's quick preview mixes from them."""
    autoencoder, channels = model.config.autoencoder, model.backbone.latent_spec.channels
    if autoencoder.kind == "kl":
        latents = comfy.latent_formats.SD3() if channels == _SD3_CHANNELS else comfy.latent_formats.SD15()
    else:
        latents = comfy.latent_formats.LatentFormat()
        each = channels // 3
        mean = 1.0 / (each * autoencoder.scaling_factor)
        latents.latent_rgb_factors = [[mean if c // each == rgb else 0.0 for rgb in range(3)] for c in range(channels)]
    latents.latent_channels = channels
    latents.scale_factor, latents.shift_factor = 1.0, 0.0  # our autoencoders scale by themselves
    return latents


class TrainedSchedule(model_sampling.ModelSamplingDiscrete):
    """The noise levels that a model was trained with, as diffusers' Euler scheduler, and so our loop, has them."""

    def __init__(self, schedule: ScheduleConfig) -> None:
        super().__init__()
        from ...model_core.sampling.schedule import make_scheduler

        kept = make_scheduler(schedule, "euler").alphas_cumprod
        self.set_sigmas(((1 - kept) / kept) ** 0.5)
        self._unit_start = schedule.timestep_spacing == "leading"

    def timestep(self, sigma: Tensor) -> Tensor:
        """The trained step of a noise level, between two steps a fraction, as diffusers' Euler interpolates."""
        table = self.sigmas.to(sigma.device)
        sigma = sigma.float().clamp(table[0], table[-1]).contiguous()
        above = torch.searchsorted(table, sigma).clamp(1, len(table) - 1)
        low, high = table[above - 1], table[above]
        return above - 1 + (sigma - low) / (high - low)

    def noise_scaling(self, sigma: Tensor, noise: Tensor, latent_image: Tensor, max_denoise: bool = False) -> Tensor:
        """Latents to begin from. Pure noise has its own size with "leading" steps, which begin below the top level."""
        pure = max_denoise or not bool(latent_image.any())
        return super().noise_scaling(sigma, noise, latent_image, pure and self._unit_start)


def make_model_sampling(schedule: ScheduleConfig) -> nn.Module:
    """ComfyUI's view of a schedule, for each prediction type that a model may have."""
    kind = _KINDS[schedule.prediction_type][1]
    if schedule.prediction_type != "flow":
        return type("PortraitSampling", (TrainedSchedule, kind), {})(schedule)
    flow = type("PortraitSampling", (model_sampling.ModelSamplingDiscreteFlow, kind), {})()
    steps = schedule.num_train_timesteps
    flow.set_parameters(shift=schedule.flow_shift, timesteps=steps, multiplier=steps)
    return flow
