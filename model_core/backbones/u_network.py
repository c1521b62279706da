"""A small U-shaped convolutional network, for what is drawn once per clip."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv(inside: int, outside: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inside, outside, 3, stride=stride, padding=1), nn.GroupNorm(8, outside), nn.SiLU())


class Residual(nn.Module):
    """Adds to features what two convolutions make of them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        first, second = (
            nn.Sequential(nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1)) for _ in range(2)
        )
        self.body = nn.Sequential(first, second)

    def forward(self, features: Tensor) -> Tensor:
        return features + self.body(features)


class UNetwork(nn.Module):
    """Halves the picture once for every width after the first, and doubles it again beside what it saw on the way.

    Args:
        inside, outside: channels that go in and come out.
        widths: channels at every size, the finest first.
        depth: residual layers after each convolution of the coarser sizes; at the finest they would cost as much as
            at all others together.
    """

    def __init__(self, inside: int, outside: int, widths: Sequence[int], *, depth: int = 0) -> None:
        super().__init__()
        first, last = widths[0], widths[-1]
        pairs = list(zip(widths, widths[1:], strict=False))
        self.enter = nn.Sequential(conv(inside, first), conv(first, first))
        self.down = nn.ModuleList([_deep(conv(fine, coarse, 2), coarse, depth) for fine, coarse in pairs])
        self.middle = _deep(conv(last, last), last, depth)
        self.up = nn.ModuleList(
            [
                _deep(conv(coarse + fine, fine), fine, depth if number + 1 < len(pairs) else 0)
                for number, (fine, coarse) in enumerate(reversed(pairs))
            ]
        )
        self.out = nn.Conv2d(first, outside, 3, padding=1)

    def run(self, pictures: Tensor) -> Tensor:
        """(N, inside, H, W) to (N, outside, H, W)."""
        hidden = self.enter(pictures)
        skips = [hidden]
        for layer in self.down:
            hidden = layer(hidden)
            skips.append(hidden)
        hidden = self.middle(skips.pop())
        for layer in self.up:
            skip = skips.pop()
            hidden = F.interpolate(hidden, skip.shape[-2:], mode="bilinear", align_corners=False)
            hidden = layer(torch.cat([hidden, skip], dim=1))
        return torch.as_tensor(self.out(hidden))


def _deep(layer: nn.Sequential, width: int, depth: int) -> nn.Sequential:
    return nn.Sequential(*layer, *(Residual(width) for _ in range(depth)))
