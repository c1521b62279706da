"""The part of the double that stands for ComfyUI's own sampling: just enough to drive a guider.

Whether the real samplers and the real model sampling agree with our loop is asked of the real ComfyUI, in
``tests/live``.
"""

from __future__ import annotations

import enum
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn


class ModelType(enum.Enum):
    EPS = 1
    V_PREDICTION = 2
    FLOW = 6


def _like(sigma: Tensor, x: Tensor) -> Tensor:
    return sigma.reshape(-1, *[1] * (x.ndim - 1))


class EPS:
    def calculate_input(self, sigma: Tensor, noise: Tensor) -> Tensor:
        return noise / (_like(sigma, noise) ** 2 + 1) ** 0.5

    def calculate_denoised(self, sigma: Tensor, model_output: Tensor, model_input: Tensor) -> Tensor:
        return model_input - model_output * _like(sigma, model_input)

    def noise_scaling(self, sigma: Tensor, noise: Tensor, latent_image: Tensor, max_denoise: bool = False) -> Tensor:
        return noise * ((1 + sigma**2) ** 0.5 if max_denoise else sigma) + latent_image


class V_PREDICTION(EPS):  # noqa: N801 - ComfyUI's name
    def calculate_denoised(self, sigma: Tensor, model_output: Tensor, model_input: Tensor) -> Tensor:
        sigma = _like(sigma, model_input)
        return model_input / (sigma**2 + 1) - model_output * sigma / (sigma**2 + 1) ** 0.5


class X0(EPS):
    def calculate_denoised(self, sigma: Tensor, model_output: Tensor, model_input: Tensor) -> Tensor:
        return model_output


class CONST(EPS):
    def calculate_input(self, sigma: Tensor, noise: Tensor) -> Tensor:
        return noise


class ModelSamplingDiscrete(nn.Module):
    def __init__(self, model_config: Any = None) -> None:
        super().__init__()
        self.set_sigmas(torch.linspace(0.03, 14.6, 1000))

    def set_sigmas(self, sigmas: Tensor) -> None:
        self.register_buffer("sigmas", sigmas.float())


class ModelSamplingDiscreteFlow(nn.Module):
    def set_parameters(self, shift: float = 1.0, timesteps: int = 1000, multiplier: int = 1000) -> None:
        self.shift, self.multiplier = shift, multiplier

    def timestep(self, sigma: Tensor) -> Tensor:
        return sigma * self.multiplier


class BaseModel(nn.Module):
    def __init__(self, model_config: Any, model_type: ModelType = ModelType.EPS) -> None:
        super().__init__()
        assert model_config.unet_config["disable_unet_model_creation"]
        self.latent_format = model_config.latent_format
        self.model_type = model_type

    def apply_model(self, x: Tensor, t: Tensor, transformer_options: dict[str, Any], **conds: Any) -> Tensor:
        seen = self.model_sampling.calculate_input(t, x).to(self.diffusion_model.dtype)
        steps = self.model_sampling.timestep(t).float()
        out = self.diffusion_model(seen, steps, context=None, control=None, transformer_options={}, **conds).float()
        return self.model_sampling.calculate_denoised(t, out, x)


class LatentFormat:
    latent_channels = 4
    scale_factor = 1.0
    latent_rgb_factors = None


class SD15(LatentFormat):
    def __init__(self) -> None:
        self.scale_factor = 0.18215
        self.latent_rgb_factors = [[0.3, 0.2, 0.3]] * 4


class BASE:
    latent_format = LatentFormat

    def __init__(self, unet_config: dict[str, Any]) -> None:
        self.unet_config = dict(unet_config)
        self.latent_format = self.latent_format()


class CFGGuider:
    """``sample`` calls the sampler with the guider itself, as ComfyUI's ends in doing."""

    def __init__(self, model_patcher: Any) -> None:
        self.model_patcher = model_patcher
        self.cfg = 1.0

    def sample(self, noise: Tensor, latent_image: Tensor, sampler: Any, sigmas: Tensor, **_: Any) -> Tensor:
        self.inner_model, self.conds, self.loaded_models = self.model_patcher.model, {}, []
        options = {"transformer_options": {"sample_sigmas": sigmas}}
        sampling = self.inner_model.model_sampling
        start = sampling.noise_scaling(sigmas[0], noise, latent_image, bool(sigmas[0] >= sampling.sigmas[-1]))
        return sampler(lambda x, sigma, **more: self.predict_noise(x, sigma, {**options, **more}), start, sigmas)


def cfg_function(
    model: Any, cond_pred: Tensor, uncond_pred: Tensor, cond_scale: float, x: Tensor, timestep: Tensor,
    model_options: dict[str, Any],
) -> Tensor:  # fmt: skip
    result = uncond_pred + (cond_pred - uncond_pred) * cond_scale
    for post in model_options.get("sampler_post_cfg_function", []):
        result = post({"denoised": result, "uncond_denoised": uncond_pred})
    return result


def modules() -> dict[str, Any]:
    """By the names that the pack imports."""
    return {
        "comfy.latent_formats": SimpleNamespace(LatentFormat=LatentFormat, SD15=SD15, SD3=SD15),
        "comfy.model_base": SimpleNamespace(BaseModel=BaseModel, ModelType=ModelType),
        "comfy.model_sampling": SimpleNamespace(
            EPS=EPS,
            V_PREDICTION=V_PREDICTION,
            X0=X0,
            CONST=CONST,
            ModelSamplingDiscrete=ModelSamplingDiscrete,
            ModelSamplingDiscreteFlow=ModelSamplingDiscreteFlow,
        ),
        "comfy.samplers": SimpleNamespace(CFGGuider=CFGGuider, cfg_function=cfg_function),
        "comfy.supported_models_base": SimpleNamespace(BASE=BASE),
        "latent_preview": SimpleNamespace(get_previewer=lambda device, latent_format: None),
    }
