"""The full-size family with random weights: what the benchmarks of Stable Diffusion's size run."""

from __future__ import annotations

from typing import TypeVar

import torch
from accelerate import init_empty_weights
from torch import Tensor, nn

from model_core.autoencoders import KLAutoencoder, build_autoencoder
from model_core.backbones.unet import UNetBackbone, UNetConfig
from model_core.config import AutoencoderConfig

Network = TypeVar("Network", bound=nn.Module)

CONFIG = UNetConfig(separate_foreground=False, unconditional_motion=True)
"""AnimateAnyone's widths and its guidance: reference and motion, with one unconditional branch."""

AUTOENCODER = AutoencoderConfig(
    kind="kl",
    stride=8,
    scaling_factor=0.18215,
    kl={
        "block_out_channels": (128, 256, 512, 512),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "layers_per_block": 2,
        "latent_channels": 4,
    },
)


def full_size_backbone(device: torch.device | str, dtype: torch.dtype = torch.float32) -> UNetBackbone:
    """1312.7 M parameters of denoiser, 859.5 M of ReferenceNet, and the rest; nothing is stored on "meta"."""
    with init_empty_weights(include_buffers=False):
        backbone = UNetBackbone(CONFIG)
    return with_random_weights(backbone, device, dtype)


def full_size_autoencoder(device: torch.device | str, dtype: torch.dtype = torch.float32) -> KLAutoencoder:
    with init_empty_weights(include_buffers=False):
        autoencoder = build_autoencoder(AUTOENCODER)
    assert isinstance(autoencoder, KLAutoencoder)
    return with_random_weights(autoencoder, device, dtype)


def with_random_weights(module: Network, device: torch.device | str, dtype: torch.dtype) -> Network:
    """Weights of a size that keeps activations as large as their inputs, drawn once and repeated: quick to make."""
    noise = torch.rand(2**20, device=device, dtype=torch.float32) * 3.4 - 1.7
    for path, layer in module.named_modules():
        for name, empty in list(layer.named_parameters(recurse=False)):
            scale = "norm" in path and name == "weight"
            value = _random(noise, empty.shape) if empty.ndim > 1 else torch.full(empty.shape, float(scale))
            value = value.to(device, dtype)
            if value.ndim == 4:
                value = value.contiguous(memory_format=torch.channels_last)
            setattr(layer, name, nn.Parameter(value, requires_grad=False))
    return module.to(device).eval()


def _random(noise: Tensor, shape: torch.Size) -> Tensor:
    if noise.device.type == "meta":
        return torch.empty(shape, device="meta")
    number = shape.numel()
    values = noise.repeat(-(-number // len(noise)))[:number].view(shape)
    return values * shape[1:].numel() ** -0.5
