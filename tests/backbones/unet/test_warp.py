"""The reference warp: identity when fresh, exact shifts, and the landmark error that trains it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from model_core.backbones.unet import UNetConfig
from model_core.backbones.unet.warp import Flow, ReferenceWarp, landmark_flow_error
from model_core.errors import CheckpointError
from model_core.types import ReferenceInputs


def warp(fold: int = 4) -> ReferenceWarp:
    torch.manual_seed(0)
    return ReferenceWarp(
        UNetConfig(
            latent_channels=48,
            latent_stride=4,
            latent_fold=fold,
            pose_guider_channels=(8, 8, 8),
            reference_pose=True,
            reference_concat=True,
            reference_warp=True,
            prediction_type="sample",
        )
    ).requires_grad_(False)


def constant_flow(x: float, y: float, *, blend: float = 1.0, size: tuple[int, int] = (8, 8)) -> Flow:
    offset = torch.tensor([x, y]).view(1, 1, 2, 1, 1).expand(1, 1, 2, *size)
    return Flow(offset, torch.full((1, 1, 1, *size), blend))


def test_a_fresh_warp_leaves_the_portrait_where_it_is() -> None:
    network = warp()
    image, motion = torch.rand(2, 3, 32, 32) * 2 - 1, torch.rand(2, 3, 32, 32)
    inputs = ReferenceInputs(image, torch.randn(2, 48, 8, 8), torch.rand(2, 1, 32, 32))
    flow = network(network.source(inputs, motion), torch.rand(2, 5, 3, 32, 32))
    assert flow.offset.shape == (2, 5, 2, 8, 8) and flow.offset.abs().max() == 0
    moved = network.move(inputs.latents, flow)
    assert moved.shape == (2, 5, 48, 8, 8)
    assert torch.allclose(moved, inputs.latents[:, None].expand_as(moved), atol=1e-5)


@pytest.mark.parametrize(("dx", "dy"), [(3, 0), (0, 5), (2, -4)])
def test_a_constant_offset_shifts_whole_pixels_exactly(dx: int, dy: int) -> None:
    """Folded latents move by single pixels, not by whole latent positions."""
    image = torch.randn(1, 3, 32, 32)
    moved = warp().move(F.pixel_unshuffle(image, 4), constant_flow(dx * 2 / 32, dy * 2 / 32))
    made = F.pixel_shuffle(moved[0], 4)
    inner = slice(8, 24)
    expected = image.roll((-dy, -dx), dims=(2, 3))
    assert torch.allclose(made[..., inner, inner], expected[..., inner, inner], atol=1e-4)


def test_blend_zero_keeps_the_portrait_and_one_takes_the_moved_one() -> None:
    network, latents = warp(fold=1), torch.randn(1, 48, 8, 8)
    still = network.move(latents, constant_flow(0.5, 0.25, blend=0.0))[0]
    half = network.move(latents, constant_flow(0.5, 0.25, blend=0.5))[0]
    moved = network.move(latents, constant_flow(0.5, 0.25))[0]
    assert torch.allclose(still, latents, atol=1e-6)
    assert torch.allclose(half, (latents + moved) / 2, atol=1e-5)
    assert not torch.allclose(moved, latents, atol=0.1)


def test_the_landmark_error_is_zero_only_for_the_right_flow() -> None:
    target = torch.rand(1, 1, 20, 2) - 0.5
    reference = target[:, 0] + torch.tensor([0.1, -0.2])
    assert landmark_flow_error(constant_flow(0.1, -0.2), target, reference) < 1e-10
    assert landmark_flow_error(constant_flow(0.1, 0.2), target, reference) > 0.1


def test_each_frame_follows_its_own_motion() -> None:
    network = warp()
    torch.nn.init.normal_(network.out.weight, std=0.1)
    motion = torch.rand(1, 3, 3, 32, 32)
    inputs = ReferenceInputs(torch.rand(1, 3, 32, 32), torch.randn(1, 48, 8, 8))
    source = network.source(inputs, torch.rand(1, 3, 32, 32))
    together = network(source, motion).offset
    alone = network(source, motion[:, 1:2]).offset
    assert torch.allclose(together[:, 1:2], alone, atol=1e-5)
    assert (together[:, 0] - together[:, 1]).abs().max() > 1e-3


def test_a_warp_without_its_inputs_is_an_impossible_config() -> None:
    with pytest.raises(CheckpointError, match="reference_warp"):
        UNetConfig(reference_warp=True)
