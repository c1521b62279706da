"""Reads a parsing map off masked driving frames, for models that warp the reference (backbones/warp).

The warp needs to know where eyes, nose and mouth are, to a fraction of a pixel. Masked frames show them as
photographs; a small convolutional network tells which component every place belongs to, and the components' moments
follow in closed form. The same network reads the portrait's own masked frame, so what it reads wrongly it reads
wrongly alike in both. It learns from exact maps, also behind masks that jitter, miss a part or are covered.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...types import PALETTE, Component
from ..warp.moments import COMPONENTS, share_moments
from ..warp.u_network import UNetwork

_WIDTHS = (16, 32, 48, 64)
_DOUBT = 0.05  # less than that counts as nothing, or far-off traces would pull a component's place
_PLACE_WEIGHT = 3.0
HIDDEN = (Component.LEFT_BROW, Component.RIGHT_BROW)
"""Components that masked frames do not show."""


@dataclass(frozen=True)
class Reading:
    """What was read of N frames.

    Attributes:
        logits: (N, 11, H / 2, W / 2), of nothing and of every component.
    """

    logits: Tensor

    @property
    def shares(self) -> Tensor:
        """(N, 10, H / 2, W / 2): how much of every place belongs to each component."""
        return sure_shares(self.logits.float().softmax(dim=1)[:, 1:])

    @property
    def moments(self) -> Tensor:
        """(N, 10, 6), as ``component_moments``."""
        return share_moments(self.shares)

    @property
    def maps(self) -> Tensor:
        """(N, 3, H / 2, W / 2): the parsing maps in the palette's colours."""
        colours = torch.tensor([PALETTE[c] for c in COMPONENTS], device=self.logits.device) / 255
        return torch.einsum("nkhw,kc->nchw", self.shares, colours)


def reading_error(reading: Reading, areas: Tensor) -> Tensor:
    """Cross entropy of a reading, and how far its components' places are off; a scalar, for training.

    Args:
        areas: (N, 10, H / 2, W / 2) in [0, 1], how much of every place belongs to each component (``HIDDEN``: none).
    """
    nothing = (1 - areas.sum(dim=1, keepdim=True)).clamp(min=0)
    wrong = F.cross_entropy(reading.logits.float(), torch.cat([nothing, areas], dim=1))
    wanted = share_moments(sure_shares(areas))
    off = F.smooth_l1_loss(reading.moments[..., 1:3], wanted[..., 1:3], beta=0.01, reduction="none")
    return wrong + _PLACE_WEIGHT * (off * (wanted[..., :1] > 0)).mean()


def sure_shares(shares: Tensor) -> Tensor:
    """Shares without the traces that a network leaves where it is in doubt."""
    return (shares - _DOUBT).clamp(min=0) / (1 - _DOUBT)


class FaceReader(UNetwork):
    """A small U-shaped network from masked frames to components."""

    def __init__(self) -> None:
        super().__init__(3, 1 + len(COMPONENTS), _WIDTHS, stride=2)

    def forward(self, frames: Tensor) -> Reading:
        """Read masked frames (N, 3, H, W) in [0, 1]."""
        return Reading(self.run(frames))
