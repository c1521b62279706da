"""Place, size and slant of every component of a parsing map, in closed form: exact keypoints that need no training."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...types import PALETTE, Component

COMPONENTS = tuple(PALETTE)
FEATURES = 6
"""Per component: presence, centre x and y, variances along x and y, covariance."""

_LIMIT = 128  # more pixels than that along a side do not place a component better
_SHARPNESS = 80.0  # of telling colours apart: the nearest two of the palette are 18 degrees apart
_STEADY = (Component.LEFT_EYE, Component.RIGHT_EYE, Component.NOSE, Component.LEFT_BROW, Component.RIGHT_BROW)


def component_moments(maps: Tensor) -> Tensor:
    """Moments of every component, by the palette's colours.

    A component's share of a pixel is read off the direction of its colour, which antialiasing against the black
    ground leaves alone.

    Args:
        maps: (N, 3, H, W) in [0, 1].
    Returns:
        (N, 10, 6) float32 in the order of ``COMPONENTS``; centres in [-1, 1] of the frame; zeros where a
        component is not there.
    """
    maps = maps.float()
    if max(maps.shape[-2:]) > _LIMIT:
        scale = _LIMIT / max(maps.shape[-2:])
        maps = F.interpolate(maps, scale_factor=scale, mode="bilinear", antialias=True, align_corners=False)
    return _features(_sums(maps))


def share_moments(shares: Tensor) -> Tensor:
    """The same of maps that say of every place how much of it belongs to each component.

    Args:
        shares: (N, 10, h, w) in [0, 1].
    Returns:
        (N, 10, 6) float32, as if the maps were 128 pixels wide.
    """
    height, width = shares.shape[-2:]
    y, x = (_places(side, shares.device) for side in (height, width))
    y, x = y[:, None].expand(height, width), x[None].expand(height, width)
    powers = torch.stack([torch.ones_like(x), x, y, x * x, y * y, x * y], dim=-1).flatten(0, 1)
    area = (_LIMIT / max(height, width)) ** 2
    return _features(area * (shares.float().flatten(2) @ powers))


def _features(sums: Tensor) -> Tensor:
    """(N, 10, 6) of sums to the features of ``component_moments``."""
    mass = sums[..., 0]
    # a hairline of a closed eye counts less and less, and what is not there not at all
    total = mass.clamp(min=0.25)
    x, y, xx, yy, xy = (sums[..., 1:] / total[..., None]).unbind(-1)
    weight = 2 - mass / total
    spread = (xx - weight * x * x, yy - weight * y * y, xy - weight * x * y)
    presence = (mass / 8).clamp(max=1)
    there = (mass > 0.25).to(sums.dtype)
    features = torch.stack([presence, x, y, *spread], dim=-1)
    return features * there[..., None]


def _places(count: int, device: torch.device) -> Tensor:
    """Centres of the places along one side, in [-1, 1]."""
    return (torch.arange(count, device=device, dtype=torch.float32) * 2 + 1) / count - 1


def face_frame(moments: Tensor) -> tuple[Tensor, Tensor]:
    """Where a face is and how large, from the components that expressions hardly move.

    Returns:
        centre (N, 2) and size (N, 1), the spread of the components' centres, both in half frames.
    """
    index = [COMPONENTS.index(component) for component in _STEADY]
    chosen = moments[:, index]
    weights = (chosen[..., :1] > 0).to(moments.dtype)
    count = weights.sum(dim=1).clamp(min=1)
    centre = (chosen[..., 1:3] * weights).sum(dim=1) / count
    spread = ((chosen[..., 1:3] - centre[:, None]).square().sum(dim=-1, keepdim=True) * weights).sum(dim=1) / count
    return centre, spread.sqrt().clamp(min=0.05)


def _sums(maps: Tensor) -> Tensor:
    """Sums of 1, x, y, x^2, y^2 and xy over every component, (N, 10, 6)."""
    count, _, height, width = maps.shape
    frame, row, column = (maps.amax(dim=1) > 0).nonzero(as_tuple=True)  # most of a map is black
    y, x = (row * 2 + 1) / height - 1, (column * 2 + 1) / width - 1
    powers = torch.stack([torch.ones_like(x), x, y, x * x, y * y, x * y], dim=1)
    products = _shares(maps[frame, :, row, column])[:, :, None] * powers[:, None]
    # a sum whose order is fixed: index_add's is not on CUDA
    return torch.segment_reduce(products, "sum", lengths=torch.bincount(frame, minlength=count), initial=0.0)


def _shares(pixels: Tensor) -> Tensor:
    """How much of pixels (P, 3) belongs to each component, (P, 10)."""
    colours = torch.tensor([PALETTE[c] for c in COMPONENTS], device=pixels.device, dtype=torch.float32) / 255
    lengths = colours.norm(dim=1)
    brightness = pixels.norm(dim=1, keepdim=True)
    cosine = (pixels @ (colours / lengths[:, None]).T) / brightness
    belongs = (1 - (1 - cosine) * _SHARPNESS).clamp(min=0)
    return belongs * (brightness / lengths).clamp(max=1)
