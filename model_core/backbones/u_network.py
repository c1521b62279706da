"""A small U-shaped convolutional network, for what is drawn once per clip."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv(inside: int, outside: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inside, outside, 3, stride=stride, padding=1), nn.GroupNorm(8, outside), nn.SiLU())


class UNetwork(nn.Module):
    """Halves the picture once for every width after the first, and doubles it again beside what it saw on the way.

    Args:
        inside, outside: channels that go in and come out.
        widths: channels at every size, the finest first.
    """

    def __init__(self, inside: int, outside: int, widths: Sequence[int]) -> None:
        super().__init__()
        first, last = widths[0], widths[-1]
        pairs = list(zip(widths, widths[1:], strict=False))
        self.enter = nn.Sequential(conv(inside, first), conv(first, first))
        self.down = nn.ModuleList([conv(fine, coarse, 2) for fine, coarse in pairs])
        self.middle = conv(last, last)
        self.up = nn.ModuleList([conv(coarse + fine, fine) for fine, coarse in reversed(pairs)])
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
