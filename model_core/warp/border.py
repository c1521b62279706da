"""The frame's border: what lies beyond the picture is unknown, so the picture's edge stays at the frame's edge."""

from __future__ import annotations

import torch
from torch import Tensor

_REACH = 2.0
"""Over how many displacements the motion fades towards the border; 2 enlarges what is there at most twice."""


def keep_at_border(source: Tensor, size: tuple[int, int], *, step: float, free: Tensor) -> Tensor:
    """A flow that draws nothing from beyond the picture where that can be helped.

    When a head moves down, what is above it would show the picture's first row, repeated. Instead the motion fades
    towards the border that it leaves: a hat that the frame cuts off is stretched a little and stays cut off there.

    Args:
        source: (2, F, h, w) float32, x and y in continuous pixels of the picture.
        size: (H, W) of the picture and of the frame.
        step: pixels from one grid point to the next.
        free: (F, h, w) bool, where the flow may change: around the face, not in it.
    """
    made = torch.empty_like(source)
    for axis, length in ((0, size[1]), (1, size[0])):
        count = source.shape[3 - axis]
        place = (torch.arange(count, device=source.device) + 0.5) * step
        place = place if axis == 0 else place[:, None]
        way = source[axis] - place
        room = torch.where(way < 0, place, length - place)  # to the border that the way leads to
        share = (room / way.abs().mul_(_REACH).clamp_(min=1e-6)).clamp_(max=1)
        torch.where(free, share.mul_(way).add_(place), source[axis], out=made[axis])
    return made
