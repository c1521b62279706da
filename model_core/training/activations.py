"""Activations kept within the range of float16.

A norm hides the scale of what it is given. Nothing in the loss then holds the residual streams before it, and the
optimiser's steps, which are orthogonal to weights whose scale does not count, only ever enlarge them. A cheap term
of the loss bounds them.
"""

from __future__ import annotations

import torch
from diffusers.models.normalization import RMSNorm
from torch import Tensor, nn

_NORMS = (nn.GroupNorm, nn.LayerNorm, nn.RMSNorm, RMSNorm)
_WEIGHT = 0.1


class StreamMeter:
    """Measures what every norm of a network is given, while gradients are recorded.

    Args:
        network: its norms get forward hooks.
    """

    def __init__(self, network: nn.Module) -> None:
        self._squares: list[Tensor] = []
        for module in network.modules():
            if isinstance(module, _NORMS):
                module.register_forward_pre_hook(self._measure)

    def _measure(self, _: nn.Module, given: tuple[Tensor, ...]) -> None:
        if torch.is_grad_enabled() and given[0].requires_grad:
            self._squares.append(given[0].float().square().mean())

    def excess(self, limit: float) -> Tensor:
        """How far root mean squares have exceeded a limit since the last call: 0 below it, then quadratic; a scalar."""
        if not self._squares:
            return torch.zeros(())
        sizes = torch.stack(self._squares).clamp(min=1e-12).sqrt()
        self._squares.clear()
        return _WEIGHT * torch.relu(sizes / limit - 1).square().sum()
