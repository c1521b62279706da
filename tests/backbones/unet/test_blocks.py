"""The layers written out against diffusers' own forward of the same modules."""

from __future__ import annotations

import pytest
import torch
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D
from diffusers.models.upsampling import Upsample2D
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from model_core.backbones.unet.blocks import (
    from_tokens,
    normalise,
    pointwise,
    residual_layer,
    temporal_layer,
    to_tokens,
    upsample,
)

LAYOUTS = [torch.contiguous_format, torch.channels_last]


@pytest.mark.parametrize("layout", LAYOUTS)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 1), st.integers(0, 1))
@settings(max_examples=25, deadline=None)
def test_upsampling_is_diffusers(layout: torch.memory_format, height: int, width: int, less: int, narrow: int) -> None:
    torch.manual_seed(0)
    layer = Upsample2D(6, use_conv=True, out_channels=5)
    hidden = torch.randn(3, 6, height, width).contiguous(memory_format=layout)
    size = torch.Size((2 * height - less, 2 * width - narrow))  # odd skips are one smaller
    with torch.no_grad():
        assert (upsample(layer, hidden, size) - layer(hidden, size)).abs().max() <= 1e-5


def test_upsampling_carries_gradients() -> None:
    torch.manual_seed(0)
    layer = Upsample2D(4, use_conv=True)
    grads = []
    for work in (lambda x: upsample(layer, x, torch.Size((6, 10))), lambda x: layer(x)):
        hidden = torch.arange(60.0).view(1, 4, 3, 5).sin().requires_grad_()
        layer.zero_grad()
        work(hidden).square().sum().backward()
        grads.append((hidden.grad, layer.conv.weight.grad.clone()))
    assert all(torch.allclose(one, other, rtol=1e-4, atol=1e-4) for one, other in zip(*grads, strict=True))


def test_tokens_and_back() -> None:
    hidden = torch.randn(2, 4, 3, 5)
    for layout in LAYOUTS:
        laid = hidden.contiguous(memory_format=layout)
        tokens = to_tokens(laid)
        assert torch.equal(tokens[1, 7], hidden[1, :, 1, 2])
        assert tokens.data_ptr() == laid.data_ptr()  # a view, which the layers then need not copy if it is contiguous
        assert tokens.is_contiguous() == (layout is torch.channels_last)
        assert torch.equal(from_tokens(tokens, laid), hidden)
        assert from_tokens(tokens, laid).is_contiguous(memory_format=layout)


def test_pointwise_is_the_convolution() -> None:
    layer, hidden = nn.Conv2d(4, 6, 1), torch.randn(2, 4, 3, 5)
    assert torch.allclose(from_tokens(pointwise(layer, to_tokens(hidden)), hidden), layer(hidden), atol=1e-6)


def test_joint_norm_is_group_norm_over_the_frames() -> None:
    norm, hidden = nn.GroupNorm(2, 4), torch.randn(6, 4, 3, 5)
    joint = normalise(norm, hidden, 3)
    clips = hidden.view(2, 3, 4, 15).transpose(1, 2).reshape(2, 4, 45)
    expected = norm(clips).view(2, 4, 3, 15).transpose(1, 2).reshape(6, 4, 3, 5)
    assert torch.allclose(joint, expected, atol=1e-6)
    assert not torch.allclose(joint, norm(hidden), atol=1e-2)


@pytest.mark.parametrize("channels", [8, 12])
def test_a_residual_layer_of_single_frames_is_diffusers(channels: int) -> None:
    torch.manual_seed(0)
    layer = ResnetBlock2D(in_channels=8, out_channels=channels, temb_channels=16, groups=4)
    hidden, embedding = torch.randn(2, 8, 3, 5), torch.randn(2, 16)
    expected = layer(hidden, embedding)
    # frames of one clip that are alike have the same joint statistics as each alone
    twice = hidden.repeat_interleave(2, 0), embedding.repeat_interleave(2, 0)
    assert torch.allclose(residual_layer(layer, *twice, 2)[::2], expected, atol=1e-5)
    assert torch.equal(residual_layer(layer, hidden, embedding), expected)


def test_a_temporal_layer_of_one_frame_is_diffusers() -> None:
    """With one frame per clip diffusers' joint norm is the norm of that frame, so both must agree."""
    torch.manual_seed(0)
    module = AnimateDiffTransformer3D(
        2, 4, in_channels=8, norm_num_groups=4, positional_embeddings="sinusoidal", num_positional_embeddings=8
    )
    hidden = torch.randn(3, 8, 2, 5)
    for layout in LAYOUTS:
        made = temporal_layer(module, hidden.contiguous(memory_format=layout), 1)
        assert torch.allclose(made, module(hidden, num_frames=1), atol=1e-5)


def test_temporal_attention_is_diffusers_where_the_norm_says_nothing() -> None:
    torch.manual_seed(0)
    module = AnimateDiffTransformer3D(
        2, 4, in_channels=8, norm_num_groups=4, positional_embeddings="sinusoidal", num_positional_embeddings=8
    )
    module.norm = nn.Identity()
    hidden = torch.randn(6, 8, 2, 5)  # two clips of three frames
    expected = module(hidden, num_frames=3)
    assert torch.allclose(temporal_layer(module, hidden, 3), expected, atol=1e-5)
