"""Full-video attention: the tokens of all frames see one another and the finished frames before them.

The only new weights of Stable Video-Driven Portraits. A fresh layer adds nothing, so training starts from the base
model exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class KeysAndValues:
    """What one layer keeps of the history: (B, heads, N, S, d) each, for N frames of S tokens."""

    keys: Tensor
    values: Tensor


class VideoAttention(nn.Module):
    """Attention over the noisy-latent tokens of all frames, added to them.

    "full" lets every token attend to every token of every frame, at the cost of (F * S)^2 products; torch's
    scaled-dot-product attention never holds them all, so memory grows with F * S only. "factorised" lets a token
    attend to its own place in every frame: F^2 * S.

    Args:
        width: channels of a token.
        heads: attention heads.
        kind: "full" or "factorised".
    """

    def __init__(self, width: int, heads: int, kind: Literal["full", "factorised"]) -> None:
        super().__init__()
        self.heads = heads
        self.kind = kind
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.to_qkv = nn.Linear(width, 3 * width)
        self.norm_q = nn.RMSNorm(width // heads, eps=1e-6)
        self.norm_k = nn.RMSNorm(width // heads, eps=1e-6)
        self.to_out = nn.Linear(width, width)
        nn.init.zeros_(self.to_out.weight)
        nn.init.zeros_(self.to_out.bias)

    def forward(
        self, tokens: Tensor, history: KeysAndValues | None = None, *, first: int = 0
    ) -> tuple[Tensor, KeysAndValues]:
        """Attend.

        Args:
            tokens: (B, F, S, D) of all frames of a window.
            history: of the finished frames before them.
            first: number of the first frame; history frames have negative ones.
        Returns:
            tokens with what they learnt from one another, (B, F, S, D), and their keys and values.
        """
        normed = self.norm(tokens) + _frame_numbers(tokens, first)
        query, key, value = (self._split(part) for part in self.to_qkv(normed).chunk(3, dim=-1))
        query, key = self.norm_q(query), self.norm_k(key)
        own = KeysAndValues(key, value)
        if history is not None:
            batch = len(key)  # the history of one clip serves all branches
            key = torch.cat([history.keys.to(key).expand(batch, *history.keys.shape[1:]), key], dim=2)
            value = torch.cat([history.values.to(value).expand(batch, *history.values.shape[1:]), value], dim=2)
        attend = self._everywhere if self.kind == "full" else self._in_place
        mixed = attend(query, key.to(query), value.to(query))
        return tokens + self.to_out(mixed.permute(0, 2, 3, 1, 4).flatten(3)), own

    def _split(self, values: Tensor) -> Tensor:
        """(B, F, S, D) to (B, heads, F, S, d)."""
        return values.unflatten(-1, (self.heads, -1)).permute(0, 3, 1, 2, 4)

    @staticmethod
    def _everywhere(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        flat = [part.flatten(2, 3) for part in (query, key, value)]
        return F.scaled_dot_product_attention(flat[0], flat[1], flat[2]).unflatten(2, query.shape[2:4])

    @staticmethod
    def _in_place(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        turned = [part.transpose(2, 3) for part in (query, key, value)]
        return F.scaled_dot_product_attention(turned[0], turned[1], turned[2]).transpose(2, 3)


def _frame_numbers(tokens: Tensor, first: int) -> Tensor:
    """A sinusoidal encoding of the frames' numbers, (F, 1, D): places alone do not tell frames apart."""
    frames, width = tokens.shape[1], tokens.shape[-1]
    numbers = torch.arange(first, first + frames, device=tokens.device, dtype=torch.float32)
    rates = torch.exp(torch.arange(0, width, 2, device=tokens.device) * (-math.log(1000.0) / width))
    angles = numbers[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, None, :width].to(tokens.dtype)
