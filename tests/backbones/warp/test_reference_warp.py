"""The reference warp: identity when fresh, exact shifts, and the landmark error that trains it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from model_core.backbones.unet import UNetConfig
from model_core.backbones.warp.reference_warp import (
    Flow,
    ReferenceWarp,
    WarpSource,
    dense_flow_error,
    landmark_flow_error,
)
from model_core.errors import CheckpointError
from model_core.types import PALETTE, Component, ReferenceInputs


def warp(fold: int = 4) -> ReferenceWarp:
    torch.manual_seed(0)
    return ReferenceWarp(fold=fold, stride=4).requires_grad_(False)


def source_of(network: ReferenceWarp, latents: torch.Tensor, foreground: torch.Tensor | None = None) -> WarpSource:
    image = torch.rand(len(latents), 3, 32, 32) * 2 - 1
    return network.source(ReferenceInputs(image, latents, foreground), face_map(len(latents)))


def face_map(count: int = 1, *, shift: int = 0) -> torch.Tensor:
    """Blocks of the palette's colours where eyes and nose would be."""
    maps = torch.zeros(count, 3, 32, 32)
    for component, (row, column) in {
        Component.LEFT_EYE: (10, 20),
        Component.RIGHT_EYE: (10, 8),
        Component.NOSE: (16, 14),
    }.items():
        colour = torch.tensor(PALETTE[component]).view(3, 1, 1) / 255
        maps[:, :, row : row + 4, column + shift : column + shift + 4] = colour
    return maps


def constant_flow(x: float, y: float, *, size: tuple[int, int] = (8, 8)) -> Flow:
    offset = torch.tensor([x, y]).view(1, 1, 2, 1, 1).expand(1, 1, 2, *size)
    return Flow(offset, torch.zeros(1, 1, 1, *size))


def test_a_fresh_warp_leaves_the_portrait_where_it_is() -> None:
    network = warp()
    latents = torch.randn(2, 48, 8, 8)
    source = source_of(network, latents)
    flow = network(source, torch.stack([face_map(5, shift=k) for k in (0, 3)]))
    assert flow.offset.shape == (2, 5, 2, 8, 8) and flow.offset.abs().max() == 0
    moved = network.move(latents, source, flow)
    assert moved.shape == (2, 5, 48, 8, 8)
    assert torch.allclose(moved, latents[:, None].expand_as(moved), atol=1e-4)


@pytest.mark.parametrize(("dx", "dy"), [(3, 0), (0, 5), (2, -4)])
def test_a_constant_offset_shifts_whole_pixels_exactly(dx: int, dy: int) -> None:
    """Folded latents move by single pixels, not by whole latent positions."""
    network, image = warp(), torch.randn(1, 3, 32, 32)
    latents = F.pixel_unshuffle(image, 4)
    moved = network.move(latents, source_of(network, latents), constant_flow(dx * 2 / 32, dy * 2 / 32))
    made = F.pixel_shuffle(moved[0], 4)
    inner = slice(8, 24)
    expected = image.roll((-dy, -dx), dims=(2, 3))
    assert torch.allclose(made[..., inner, inner], expected[..., inner, inner], atol=0.02)


def test_the_person_moves_and_the_background_fills_what_it_leaves() -> None:
    network = warp()
    image, person = torch.full((1, 3, 32, 32), -0.5), torch.zeros(1, 1, 32, 32)
    person[..., 10:20, 10:20] = 1
    image[person.expand_as(image) > 0] = 1.0
    latents = F.pixel_unshuffle(image, 4)
    moved = network.move(latents, source_of(network, latents, person), constant_flow(-8 * 2 / 32, 0.0))
    made = F.pixel_shuffle(moved[0], 4)[0]
    assert (made[:, 12:18, 20:26] > 0.9).all(), "the person did not arrive eight pixels further right"
    assert (made[:, 12:18, 10:16] < -0.4).all(), "the person left a ghost"
    assert torch.allclose(made[:, :, :4], torch.tensor(-0.5), atol=0.02)


def test_the_landmark_error_is_zero_only_for_the_right_flow() -> None:
    target = torch.rand(1, 1, 20, 2) - 0.5
    reference = target[:, 0] + torch.tensor([0.1, -0.2])
    assert landmark_flow_error(constant_flow(0.1, -0.2), target, reference) < 1e-10
    assert landmark_flow_error(constant_flow(0.1, 0.2), target, reference) > 0.1


def test_the_dense_error_counts_only_where_the_flow_is_known() -> None:
    target = torch.zeros(1, 1, 2, 16, 16)
    target[..., :8, :] = 0.3
    known = torch.zeros(1, 1, 1, 16, 16)
    known[..., 8:, :] = 1
    assert dense_flow_error(constant_flow(0.0, 0.0), target, known) == 0
    assert dense_flow_error(constant_flow(0.0, 0.0), target, torch.ones_like(known)) > 0.1
    assert dense_flow_error(constant_flow(1.0, 1.0), target, torch.zeros_like(known)) == 0


def test_each_frame_follows_its_own_motion() -> None:
    network = warp()
    torch.nn.init.normal_(network.out.weight, std=0.1)
    torch.nn.init.normal_(network.coarse.out.weight, std=0.1)
    motion = torch.cat([face_map(shift=shift) for shift in (-3, 0, 4)])[None]
    source = source_of(network, torch.randn(1, 48, 8, 8))
    together = network(source, motion).offset
    alone = network(source, motion[:, 1:2]).offset
    assert torch.allclose(together[:, 1:2], alone, atol=1e-5)
    assert (together[:, 0] - together[:, 1]).abs().max() > 1e-3


def test_a_warp_without_its_inputs_is_an_impossible_config() -> None:
    with pytest.raises(CheckpointError, match="reference_warp"):
        UNetConfig(reference_warp=True)
