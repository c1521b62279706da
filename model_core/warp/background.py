"""The scene without the person: what a moving head uncovers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_RELAXED_SIDE, _RELAXATIONS = 256, 12
"""Long side up to which a level is smoothed after it was filled, and how often: edges of blocks go, the sides meet."""
_MARGIN = 5  # pixels; the border of a mask is never quite where the person ends


def background_plate(image: Tensor, foreground: Tensor) -> Tensor:
    """Fill the person with what surrounds it, like a skin stretched over the gap.

    Averages of ever larger neighbourhoods (push and pull) begin; each is then relaxed towards the mean of its
    neighbours. Outside of the person nothing changes. Where all is person, the image stays as it is.

    Args:
        image: (B, C, H, W), of any range.
        foreground: (B, 1, H, W) in [0, 1], 1 on the person.
    Returns:
        (B, C, H, W) float32.
    """
    image = image.float()
    grown = F.max_pool2d(foreground.float(), _MARGIN, stride=1, padding=_MARGIN // 2)
    known = (grown < 0.02).float()
    height, width = image.shape[-2:]
    levels = [(image * known, known)]
    while min(levels[-1][0].shape[-2:]) > 1:
        colours, weight = levels[-1]
        levels.append((F.avg_pool2d(colours, 2, ceil_mode=True), F.avg_pool2d(weight, 2, ceil_mode=True)))
    filled, _ = levels[-1]
    filled = filled / levels[-1][1].clamp(min=1e-6)
    for colours, weight in reversed(levels):
        coarse = F.interpolate(filled, colours.shape[-2:], mode="bilinear", align_corners=False)
        own = (weight * 4).clamp(max=1)
        filled = _relaxed(own * colours / weight.clamp(min=1e-6) + (1 - own) * coarse, own)
    empty = (known.sum(dim=(2, 3), keepdim=True) < 0.02 * height * width).float()
    return torch.lerp(known * image + (1 - known) * filled, image, empty)


def _relaxed(filled: Tensor, own: Tensor) -> Tensor:
    """Colours (B, C, h, w) smoothed where they are not the picture's own (B, 1, h, w)."""
    if max(filled.shape[-2:]) > _RELAXED_SIDE:
        return filled
    for _ in range(_RELAXATIONS):
        mean = F.avg_pool2d(F.pad(filled, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
        filled = torch.lerp(mean, filled, own)
    return filled
