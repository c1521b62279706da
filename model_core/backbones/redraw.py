"""Redraws the carried portrait after the motion signal: what no moving of pixels can show.

Lids that close, a mouth that opens and what a turn uncovers are not in the portrait. A small convolutional network
sees the carried portrait, how much of each pixel it really shows, and the motion signal, and corrects it, once per
clip and without noise. The denoiser, whose tokens or positions are patches of pixels, starts from there. Ours, for
narrow models of any family.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..types import Baseline
from .u_network import UNetwork

WIDTHS = (32, 48, 64)
"""Of the first models that had one."""
_FOLD = 2  # at half the size a pixel's neighbours are its channels: as sharp, and a quarter of the work
_SEEN = 3 + 1 + 3
_SCALE = 0.25


class Redraw(UNetwork):
    """A correction of latents that are folded pixels; a fresh one changes nothing.

    Args:
        fold: image pixels along each side of a latent position.
        widths, depth: see ``UNetwork``; the finest size is half the picture's.
    """

    def __init__(self, *, fold: int, widths: Sequence[int] = WIDTHS, depth: int = 0) -> None:
        super().__init__(_SEEN * _FOLD**2, 3 * _FOLD**2, widths, depth=depth)
        self.fold = fold
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, baseline: Baseline, motion: Tensor) -> Baseline:
        """The baseline with its latents corrected.

        Args:
            baseline: latents (B, F, C, h, w) and validity (B, F, 1, H, W).
            motion: (B, F, 3, H, W) in [0, 1].
        """
        latents = baseline.latents.flatten(0, 1)
        pixels = F.pixel_shuffle(latents, self.fold)
        shown, signal = (part.flatten(0, 1).to(pixels) for part in (baseline.validity, motion * 2 - 1))
        seen = torch.cat([pixels, shown, signal], dim=1)
        made = F.pixel_shuffle(self.run(F.pixel_unshuffle(seen, _FOLD)), _FOLD)
        corrected = latents + (_SCALE * F.pixel_unshuffle(made, self.fold)).to(latents.dtype)
        return replace(baseline, latents=corrected.view_as(baseline.latents))
