from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPImageProcessor

from model_core.backbones.unet import UNetConfig
from model_core.backbones.unet.image_prompt import ImagePrompt

CONFIG = UNetConfig(
    cross_attention_dim=8,
    image_encoder={
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "image_size": 32,
        "patch_size": 16,
        "projection_dim": 8,
    },
)


def picture(height: int, width: int) -> torch.Tensor:
    values = torch.randint(0, 256, (1, 3, height, width), generator=torch.Generator().manual_seed(0))
    return values.float() / 127.5 - 1


def made(resize: str, image: torch.Tensor) -> torch.Tensor:
    return ImagePrompt(dataclasses.replace(CONFIG, prompt_resize=resize)).pixels(image)


@pytest.mark.parametrize(("height", "width"), [(50, 40), (40, 50), (32, 32), (20, 61), (33, 100)])
def test_cropping_is_clips_own_processor(height: int, width: int) -> None:
    image = picture(height, width)
    pixels = np.asarray(((image[0] + 1) * 127.5).round().byte().permute(1, 2, 0))
    settings = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    theirs = CLIPImageProcessor(**settings)(Image.fromarray(pixels), return_tensors="pt").pixel_values
    ours = made("pil_crop", image)
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= 0.05  # the processor of some versions resizes by torch: a few grey levels
    assert (ours - theirs).abs().mean() <= 0.01


def test_stretching_by_torch_and_by_pil_differ_by_rounding_only() -> None:
    image = picture(45, 70)
    difference = (made("stretch", image) - made("pil_stretch", image)).abs().max()
    assert 0 < difference <= 0.03  # a grey level is 0.015 in CLIP's scale


def test_tokens_are_the_last_hidden_states() -> None:
    image = picture(32, 32)
    torch.manual_seed(0)
    embedding = ImagePrompt(CONFIG)
    torch.manual_seed(0)
    tokens = ImagePrompt(dataclasses.replace(CONFIG, prompt_kind="tokens"))
    assert embedding(image).shape == (1, 1, 8)
    assert tokens(image).shape == (1, 5, 8)
    model = tokens.encoder
    projected = model.visual_projection(model.vision_model.post_layernorm(tokens(image)[:, 0]))
    assert torch.allclose(projected, embedding(image)[:, 0], atol=1e-6)
