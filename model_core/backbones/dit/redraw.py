"""Redraws the moved reference after the masked driving frame: what no moving of pixels can show.

Lids that close, a mouth that opens and a border that the warp leaves in doubt are not in the portrait. A small
convolutional network sees the moved portrait beside the driver's eyes, nose and mouth, and corrects it, once per
clip. The transformer, whose tokens are patches, starts from there. As the warp itself this is ours, for narrow models.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..warp.u_network import UNetwork

_WIDTHS = (32, 48, 64)
_FOLD = 2  # at half the size a pixel's neighbours are its channels: as sharp, and a quarter of the work
_SCALE = 0.25


class Redraw(UNetwork):
    """A correction of latents that are folded pixels; a fresh one changes nothing.

    Args:
        fold: image pixels along each side of a latent position.
    """

    def __init__(self, *, fold: int) -> None:
        super().__init__(2 * 3 * _FOLD**2, 3 * _FOLD**2, _WIDTHS)
        self.fold = fold
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, latents: Tensor, motion: Tensor) -> Tensor:
        """The moved reference (B, F, C, h, w), corrected after masked frames (B, F, 3, H, W) in [0, 1]."""
        pixels = F.pixel_shuffle(latents.flatten(0, 1), self.fold)
        seen = torch.cat([pixels, motion.flatten(0, 1).to(pixels) * 2 - 1], dim=1)
        made = F.pixel_shuffle(self.run(F.pixel_unshuffle(seen, _FOLD)), _FOLD)
        return latents + (_SCALE * F.pixel_unshuffle(made, self.fold)).view_as(latents).to(latents.dtype)
