"""Tiny DiTs for the tests of the family."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from model_core.autoencoders import FoldAutoencoder
from model_core.backbones.dit import DiTBackbone, DiTConfig

TINY: dict[str, Any] = {
    "sample_size": 8,
    "patch_size": 2,
    "in_channels": 12,
    "out_channels": 12,
    "num_layers": 3,
    "attention_head_dim": 8,
    "num_attention_heads": 2,
    "joint_attention_dim": 6,
    "caption_projection_dim": 16,
    "pooled_projection_dim": 10,
    "pos_embed_max_size": 12,
    "dual_attention_layers": (0,),
    "latent_stride": 2,
    "prompt_tokens": 3,
    "video_attention_after": (0, 2),
}


@pytest.fixture
def make_dit() -> Callable[..., DiTBackbone]:
    """Builds a tiny DiT whose every weight says something, or a fresh one; settings override TINY."""

    def build(*, fresh: bool = False, fresh_video: bool = True, **settings: Any) -> DiTBackbone:
        torch.manual_seed(0)
        stride = {**TINY, **settings}["latent_stride"]
        backbone = DiTBackbone(DiTConfig(**{**TINY, **settings}), FoldAutoencoder(stride).encode)
        for name, parameter in [] if fresh else backbone.named_parameters():
            if fresh_video and name.startswith("denoiser.video_attention") and ".to_out." in name:
                continue
            torch.nn.init.normal_(parameter, std=0.3 if parameter.dim() > 1 else 0.1)
        torch.nn.init.normal_(backbone.denoiser.null_prompt)
        torch.nn.init.normal_(backbone.denoiser.null_pooled)
        return backbone.eval().requires_grad_(False)

    return build
