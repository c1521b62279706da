"""The scene without the person: what a moving head uncovers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_MARGIN = 5  # pixels; the border of a mask is never quite where the person ends


def background_plate(image: Tensor, foreground: Tensor) -> Tensor:
    """Fill the person with what surrounds it: averages of ever larger neighbourhoods (push and pull).

    Outside of the person nothing changes. Where all is person, the image stays as it is.

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
        filled = own * colours / weight.clamp(min=1e-6) + (1 - own) * coarse
    empty = (known.sum(dim=(2, 3), keepdim=True) < 0.02 * height * width).float()
    return torch.lerp(known * image + (1 - known) * filled, image, empty)
