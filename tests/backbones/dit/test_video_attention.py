"""Full-video attention: what sees what, in which order, and at what cost."""

from __future__ import annotations

from typing import Literal

import pytest
import torch

from model_core.backbones.dit.video_attention import KeysAndValues, VideoAttention


def attention(kind: Literal["full", "factorised"] = "full") -> VideoAttention:
    torch.manual_seed(0)
    layer = VideoAttention(16, 2, kind)
    torch.nn.init.normal_(layer.to_out.weight)
    return layer.requires_grad_(False)


def tokens(frames: int = 4, places: int = 6) -> torch.Tensor:
    return torch.randn(2, frames, places, 16, generator=torch.Generator().manual_seed(1))


def influence(layer: VideoAttention) -> torch.Tensor:
    """(F, S) of which places of which frames change when place 2 of frame 1 does."""
    values = tokens()
    changed = values.clone()
    changed[:, 1, 2] = torch.randn(16)
    difference = (layer(values)[0] - layer(changed)[0]).abs().amax(dim=(0, 3))
    return difference > 1e-6


def test_full_attention_reaches_every_place_of_every_frame() -> None:
    assert influence(attention("full")).all()


def test_factorised_attention_stays_in_its_place() -> None:
    reached = influence(attention("factorised"))
    assert reached[:, 2].all() and not reached[:, [0, 1, 3, 4, 5]].any()


@pytest.mark.parametrize("kind", ["full", "factorised"])
def test_history_in_front_is_the_same_as_one_run_over_all(kind: Literal["full", "factorised"]) -> None:
    """Keys and values of the first frames, kept, say the same to the others as the frames themselves."""
    layer, values = attention(kind), tokens(5)
    whole, _ = layer(values, first=-2)
    _, kept = layer(values[:, :2], first=-2)
    rest, _ = layer(values[:, 2:], kept)
    torch.testing.assert_close(rest, whole[:, 2:], atol=1e-5, rtol=1e-5)


def test_one_clips_history_serves_a_batch_of_branches() -> None:
    layer, values = attention(), tokens()
    _, kept = layer(values[:1], first=-4)
    made, _ = layer(values, kept)
    alone, _ = layer(values[1:], KeysAndValues(kept.keys, kept.values))
    torch.testing.assert_close(made[1:], alone)


def test_the_order_of_frames_counts() -> None:
    layer, values = attention(), tokens()
    turned = layer(values.flip(1))[0].flip(1)
    assert (turned - layer(values)[0]).abs().max() > 1e-3


def test_a_fresh_layer_adds_nothing() -> None:
    values = tokens()
    assert torch.equal(VideoAttention(16, 2, "full")(values)[0], values)
