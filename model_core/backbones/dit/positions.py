"""Positions of three token groups side by side: noisy latents in the middle, reference left, driving frame right.

All three use the base model's own two-dimensional encoding, shifted in space (Stable Video-Driven Portraits), so
that no two tokens of a sequence ever share a place, whatever the resolution.
"""

from __future__ import annotations

import torch
from diffusers.models.embeddings import PatchEmbed, get_2d_sincos_pos_embed_from_grid
from torch import Tensor

REFERENCE, NOISY, DRIVING = -1, 0, 1
"""Groups, by how many picture widths they are shifted to the right."""


def positions(embed: PatchEmbed, size: tuple[int, int], group: int) -> Tensor:
    """The encoding of one group.

    The base model stores a square of positions and cuts the picture's out of its middle. The same formula holds
    beyond the square, where shifted groups may lie.

    Args:
        embed: the base model's patch embedding.
        size: (rows, columns) of the picture in patches.
        group: REFERENCE, NOISY or DRIVING.
    Returns:
        (1, rows * columns, D) float32.
    """
    rows, columns = size
    square: int = embed.pos_embed_max_size
    top, left = (square - rows) // 2, (square - columns) // 2 + group * columns
    if top >= 0 and 0 <= left and left + columns <= square:
        table = embed.pos_embed.unflatten(1, (square, square))
        return table[:, top : top + rows, left : left + columns].flatten(1, 2)
    scale = embed.base_size / square / embed.interpolation_scale
    device = embed.pos_embed.device
    y = torch.arange(top, top + rows, device=device, dtype=torch.float32) * scale
    x = torch.arange(left, left + columns, device=device, dtype=torch.float32) * scale
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"))  # diffusers' order: the columns come first
    encoded = get_2d_sincos_pos_embed_from_grid(embed.pos_embed.shape[-1], grid.unsqueeze(1), output_type="pt")
    return encoded[None].float()
