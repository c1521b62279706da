"""Positions: the base model's own for the noisy group, never two tokens in one place."""

from __future__ import annotations

import pytest
import torch
from diffusers.models.embeddings import PatchEmbed

from model_core.backbones.dit.positions import DRIVING, NOISY, REFERENCE, positions


def embedding(square: int = 12) -> PatchEmbed:
    return PatchEmbed(height=16, width=16, patch_size=2, in_channels=4, embed_dim=32, pos_embed_max_size=square)


@pytest.mark.parametrize("size", [(8, 8), (3, 7), (12, 4)])
def test_the_noisy_group_lies_where_the_base_model_has_it(size: tuple[int, int]) -> None:
    embed = embedding()
    torch.testing.assert_close(positions(embed, size, NOISY), embed.cropped_pos_embed(size[0] * 2, size[1] * 2))


@pytest.mark.parametrize("size", [(4, 4), (8, 8), (12, 20), (5, 3)])
def test_groups_lie_side_by_side_without_overlap(size: tuple[int, int]) -> None:
    places = torch.cat([positions(embedding(), size, group) for group in (REFERENCE, NOISY, DRIVING)], dim=1)[0]
    distance = torch.cdist(places, places) + torch.eye(len(places)) * 100
    assert distance.min() > 0.05


def test_the_formula_continues_the_stored_square() -> None:
    """A square large enough to hold all three says the same as a small one that the groups leave."""
    large, small = embedding(24), embedding(24)
    inside = positions(large, (8, 8), DRIVING)
    small.pos_embed_max_size = 24
    table = large.pos_embed.unflatten(1, (24, 24))[:, 8:16, 16:24].flatten(1, 2)
    torch.testing.assert_close(inside, table)
    beyond = positions(small, (8, 9), DRIVING)  # its last column lies outside
    row = beyond.unflatten(1, (8, 9))[:, :, :7]
    left = (24 - 9) // 2 + 9
    torch.testing.assert_close(row, large.pos_embed.unflatten(1, (24, 24))[:, 8:16, left : left + 7], atol=1e-5, rtol=0)
