"""The ways of computing spatial attention: one result, different memory."""

from __future__ import annotations

import pytest
import torch

from model_core.backbones.base import AnimationInputs
from model_core.backbones.unet import attention
from model_core.errors import InputError
from model_core.types import Branch, MotionSignal, ReferenceInputs


@pytest.fixture
def scores(monkeypatch):
    """How many numbers of the attention matrix each call of torch's kernel makes."""
    sizes = []
    plain = attention.F.scaled_dot_product_attention

    def counted(query, keys, values, **options):
        sizes.append(query.shape[0] * query.shape[1] * query.shape[2] * keys.shape[2])
        return plain(query, keys, values, **options)

    monkeypatch.setattr(attention.F, "scaled_dot_product_attention", counted)
    return sizes


@pytest.fixture
def tokens():
    torch.manual_seed(0)
    return torch.randn(2, 3, 50, 8), torch.randn(2, 3, 70, 8), torch.randn(2, 3, 70, 8)


def test_sliced_attention_bounds_the_scores_and_gives_the_same(monkeypatch, scores, tokens):
    whole = attention.sdpa(*tokens)
    monkeypatch.setattr(attention, "_SCORES_AT_ONCE", 2 * 3 * 70 * 11)
    scores.clear()
    assert torch.allclose(attention.sliced(*tokens), whole, atol=1e-6)
    assert len(scores) == 5  # 50 queries, 11 at a time
    assert max(scores) == 2 * 3 * 70 * 11


def test_one_query_at_a_time_is_the_least(monkeypatch, scores, tokens):
    monkeypatch.setattr(attention, "_SCORES_AT_ONCE", 1)
    attention.sliced(*tokens)
    assert len(scores) == 50


def test_small_attention_is_not_sliced(scores, tokens):
    attention.sliced(*tokens)
    assert len(scores) == 1


def test_a_backbone_attends_as_it_is_told_everywhere(monkeypatch, scores, tiny_model):
    backbone = tiny_model.backbone
    inputs = ReferenceInputs(torch.rand(1, 3, 32, 32), torch.randn(1, 48, 8, 8), motion=torch.rand(1, 3, 32, 32))
    motion = MotionSignal("parsing_map", torch.rand(3, 3, 32, 32))
    latents = torch.randn(1, 3, 48, 8, 8)

    def run() -> torch.Tensor:
        conditioning = backbone.prepare(AnimationInputs(backbone.encode_reference(inputs), motion))
        return backbone.predict(latents, torch.tensor(9), conditioning, [Branch.FULL])[Branch.FULL]

    whole = run()
    calls = len(scores)
    monkeypatch.setattr(attention, "_SCORES_AT_ONCE", 64)
    backbone.use_attention("sliced")
    scores.clear()
    sliced = run()
    assert len(scores) > 2 * calls  # in ReferenceNet and denoiser
    assert torch.allclose(whole, sliced, atol=1e-5)


def test_an_unknown_attention_is_refused(tiny_model):
    with pytest.raises(InputError, match="attention 'magic': choose one of sdpa, sliced"):
        tiny_model.backbone.use_attention("magic")
