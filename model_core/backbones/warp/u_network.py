"""Small U-shaped convolutional networks: they read faces, refine motion, and redraw what moving pixels cannot show."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv(inside: int, outside: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inside, outside, 3, stride=stride, padding=1), nn.GroupNorm(8, outside), nn.SiLU())


class UShape(nn.Module):
    """How such a network runs: down to ever smaller pictures and up again, beside what was seen on the way down.

    Attributes:
        enter, down, middle, up, out: its layers; ``up`` has as many as ``down``.
    """

    enter: nn.Module
    down: nn.ModuleList
    middle: nn.Module
    up: nn.ModuleList
    out: nn.Conv2d

    def run(self, pictures: Tensor) -> Tensor:
        """(N, C, H, W) to what ``out`` makes, at the size that ``enter`` leaves."""
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


class UNetwork(UShape):
    """Halves the picture once for every width after the first, and doubles it again.

    Args:
        inside, outside: channels that go in and come out.
        widths: channels at every size, the finest first.
        stride: 2 halves the picture on the way in, too; the result then is half as large.
    """

    def __init__(self, inside: int, outside: int, widths: Sequence[int], *, stride: int = 1) -> None:
        super().__init__()
        first, last = widths[0], widths[-1]
        pairs = list(zip(widths, widths[1:], strict=False))
        self.enter = nn.Sequential(conv(inside, first, stride), conv(first, first))
        self.down = nn.ModuleList([conv(fine, coarse, 2) for fine, coarse in pairs])
        self.middle = conv(last, last)
        self.up = nn.ModuleList([conv(coarse + fine, fine) for fine, coarse in reversed(pairs)])
        self.out = nn.Conv2d(first, outside, 3, padding=1)
