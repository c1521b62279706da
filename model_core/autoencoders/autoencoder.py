"""Autoencoders: lossless folding for the bundled model, diffusers' AutoencoderKL for Stable Diffusion."""

from __future__ import annotations

from diffusers import AutoencoderKL
from einops import rearrange
from torch import Tensor, nn

from ..config import AutoencoderConfig


class FoldAutoencoder(nn.Module):
    """Space to depth: exact, free, and without weights.

    Args:
        stride: pixels per latent position along each side; latents have ``3 * stride ** 2`` channels.
        scaling_factor: latents are multiplied by it.
    """

    def __init__(self, stride: int, scaling_factor: float = 1.0) -> None:
        super().__init__()
        self.stride = stride
        self.scaling_factor = scaling_factor

    def encode(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] to (N, 3 * stride**2, h, w); H and W are multiples of the stride."""
        folded = rearrange(images, "n c (h a) (w b) -> n (c a b) h w", a=self.stride, b=self.stride)
        return folded * self.scaling_factor

    def decode(self, latents: Tensor) -> Tensor:
        """The inverse of ``encode``; values are clamped to [-1, 1]."""
        return self.unfold(latents).clamp(-1, 1)

    def unfold(self, latents: Tensor) -> Tensor:
        """``decode`` without the clamp, which would let no gradients through."""
        images = rearrange(latents, "n (c a b) h w -> n c (h a) (w b)", a=self.stride, b=self.stride)
        return images / self.scaling_factor


class KLAutoencoder(nn.Module):
    """Stable Diffusion's autoencoder, through diffusers.

    It computes in its own number format, which may be a wider one than the backbone's, and answers in the caller's.

    Args:
        vae: diffusers' AutoencoderKL.
        scaling_factor: 0.18215 for SD1.5, 1.5305 for SD3.
        shift_factor: 0 for SD1.5, 0.0609 for SD3.
        batch: images decoded at a time, which bounds the memory of a long clip.
    """

    def __init__(self, vae: AutoencoderKL, scaling_factor: float, *, shift_factor: float = 0.0, batch: int = 4) -> None:
        super().__init__()
        self.vae = vae
        self.scaling_factor = scaling_factor
        self.shift_factor = shift_factor
        self.batch = batch

    def encode(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] to (N, C, h, w): the mean of the posterior, without sampling."""
        mean = self.vae.encode(images.to(self.vae.dtype)).latent_dist.mean
        return ((mean - self.shift_factor) * self.scaling_factor).to(images.dtype)

    def decode(self, latents: Tensor) -> Tensor:
        """(N, C, h, w) to (N, 3, H, W) in [-1, 1]."""
        stride = 2 ** (len(self.vae.config.block_out_channels) - 1)
        images = latents.new_empty(latents.shape[0], 3, *(side * stride for side in latents.shape[-2:]))
        for start in range(0, latents.shape[0], self.batch):
            part = slice(start, start + self.batch)
            scaled = latents[part].to(self.vae.dtype) / self.scaling_factor + self.shift_factor
            images[part] = self.vae.decode(scaled).sample.clamp(-1, 1).to(images.dtype)
        return images


def build_autoencoder(config: AutoencoderConfig) -> FoldAutoencoder | KLAutoencoder:
    """The autoencoder that a config describes, with fresh weights where it has any."""
    if config.kind == "fold":
        return FoldAutoencoder(config.stride, config.scaling_factor)
    return KLAutoencoder(AutoencoderKL(**config.kl), config.scaling_factor, shift_factor=config.shift_factor)
