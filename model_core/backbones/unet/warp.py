"""Reference warp: a coarse guess of every frame, made by moving the portrait's own pixels.

A narrow denoiser spends most of its capacity on carrying the portrait to where the head has gone. This optional
network reads off the two motion signals, the portrait's and the driving frame's, where each place of the frame
lies in the portrait, and hands the moved portrait to the denoiser's first convolution. It runs once per
clip; the denoiser then draws what moving pixels cannot: expressions, gaze, what was hidden.
Neither paper has it: full-width models carry the portrait by reference attention alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...types import ReferenceInputs
from .config import UNetConfig

_WIDTHS = (24, 48, 64, 96)


@dataclass(frozen=True)
class Flow:
    """Where the places of a frame lie in the reference.

    Attributes:
        offset: (B, F, 2, h, w), x and y to add to a place's own position, in half frames.
        blend: (B, F, 1, h, w) in (0, 1); 1 takes the moved portrait, 0 the portrait as it stands.
    """

    offset: Tensor
    blend: Tensor


def _conv(inside: int, outside: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inside, outside, 3, stride=stride, padding=1), nn.GroupNorm(8, outside), nn.SiLU())


class ReferenceWarp(nn.Module):
    """Predicts a ``Flow`` and applies it to latents."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.fold = config.latent_fold
        self.stride = config.latent_stride
        first, second, third, last = _WIDTHS
        self.enter = _conv(10, first)
        self.down = nn.ModuleList([_conv(first, second, 2), _conv(second, third, 2), _conv(third, last, 2)])
        self.middle = nn.Sequential(_conv(last, last), _conv(last, last))
        self.up = nn.ModuleList([_conv(last + third, third), _conv(third + second, second)])
        self.out = nn.Conv2d(second, 3, 3, padding=1)
        nn.init.zeros_(self.out.weight)  # a fresh warp leaves the portrait where it is
        if self.out.bias is not None:
            nn.init.zeros_(self.out.bias)

    def source(self, inputs: ReferenceInputs, motion: Tensor) -> Tensor:
        """What the warp needs of the reference: (B, 7, 2h, 2w) of image, foreground and motion signal."""
        foreground = torch.ones_like(motion[:, :1]) if inputs.foreground is None else inputs.foreground
        return self._shrink(torch.cat([inputs.image, foreground, motion], dim=1))

    def forward(self, source: Tensor, motion: Tensor) -> Flow:
        """Predict the flow of every frame.

        Args:
            source: from ``source``.
            motion: (B, F, 3, H, W) in [0, 1].
        """
        batch, frames = motion.shape[:2]
        beside = source[:, None].expand(-1, frames, -1, -1, -1).flatten(0, 1)
        hidden = self.enter(torch.cat([beside, self._shrink(motion.flatten(0, 1))], dim=1))
        skips = []
        for layer in self.down:
            hidden = layer(hidden)
            skips.append(hidden)
        hidden = self.middle(skips.pop())
        for layer in self.up:
            skip = skips.pop()
            hidden = F.interpolate(hidden, skip.shape[-2:], mode="bilinear", align_corners=False)
            hidden = layer(torch.cat([hidden, skip], dim=1))
        out = self.out(hidden).float().unflatten(0, (batch, frames))
        return Flow(out[:, :, :2], torch.sigmoid(out[:, :, 2:] + 2))

    def move(self, latents: Tensor, flow: Flow) -> Tensor:
        """The moved portrait: latents (B, C, h, w) to (B, F, C, h, w)."""
        batch, frames = flow.offset.shape[:2]
        pixels = F.pixel_shuffle(latents.float(), self.fold) if self.fold > 1 else latents.float()
        size = pixels.shape[-2:]
        still = pixels[:, None].expand(-1, frames, -1, -1, -1).flatten(0, 1)
        offset = F.interpolate(flow.offset.flatten(0, 1), size, mode="bilinear", align_corners=False)
        blend = F.interpolate(flow.blend.flatten(0, 1), size, mode="bilinear", align_corners=False)
        grid = _own_positions(size, still) + offset.permute(0, 2, 3, 1)
        moved = F.grid_sample(still, grid, mode="bilinear", padding_mode="border", align_corners=False)
        mixed = still + blend * (moved - still)
        folded = F.pixel_unshuffle(mixed, self.fold) if self.fold > 1 else mixed
        return folded.unflatten(0, (batch, frames)).to(latents.dtype)

    def _shrink(self, images: Tensor) -> Tensor:
        """To twice the latents' size: the flow is smooth, so more is not needed."""
        size = [side * 2 // self.stride for side in images.shape[-2:]]
        return F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)


def _own_positions(size: torch.Size, like: Tensor) -> Tensor:
    """(1, H, W, 2): x and y of every pixel's centre in [-1, 1]."""
    height, width = size
    y = (torch.arange(height, device=like.device, dtype=like.dtype) * 2 + 1) / height - 1
    x = (torch.arange(width, device=like.device, dtype=like.dtype) * 2 + 1) / width - 1
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)[None]


def landmark_flow_error(flow: Flow, target: Tensor, reference: Tensor) -> Tensor:
    """How far the flow at the target's landmarks leads from the reference's landmarks; a scalar, for training.

    Args:
        target: (B, F, L, 2) landmarks of the true frame, x and y in [-1, 1] of the frame.
        reference: (B, L, 2), the same points in the reference.
    """
    offset = flow.offset.flatten(0, 1)
    found = F.grid_sample(offset, target.flatten(0, 1)[:, :, None], padding_mode="border", align_corners=False)
    found = found[..., 0].transpose(1, 2).unflatten(0, target.shape[:2])
    return F.smooth_l1_loss(found, reference[:, None] - target, beta=0.02)
