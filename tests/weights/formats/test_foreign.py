from __future__ import annotations

from pathlib import Path

import pytest
import torch

from model_core.weights.formats.foreign import refusal
from model_core.weights.header import Header

LAYER = "down_blocks.0.motion_modules.0.temporal_transformer.transformer_blocks.0.attention_blocks.0"
LDM = "model.diffusion_model"
FAMILIES = {
    "Flux": {"double_blocks.0.img_attn.qkv.weight": (9216, 3072)},
    "Stable Diffusion 3": {f"{LDM}.joint_blocks.0.x_block.attn.qkv.weight": (4608, 1536)},
    "Stable Diffusion XL": {
        f"{LDM}.label_emb.0.0.weight": (1280, 2816),
        f"{LDM}.input_blocks.0.0.weight": (320, 4, 3, 3),
    },
    "Stable Diffusion 2 or XL": {
        f"{LDM}.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (320, 1024),
        f"{LDM}.input_blocks.1.1.proj_in.weight": (320, 320),
    },
    "Stable Video Diffusion": {f"{LDM}.input_blocks.1.0.time_stack.in_layers.0.weight": (320,)},
    "an inpainting model": {f"{LDM}.input_blocks.0.0.weight": (320, 9, 3, 3)},
    "an image-editing model": {f"{LDM}.input_blocks.0.0.weight": (320, 8, 3, 3)},
    "Stable Diffusion 3 or Flux": {"decoder.conv_in.weight": (512, 16, 3, 3)},
    "a ControlNet": {"controlnet_cond_embedding.conv_in.weight": (16, 3, 3, 3)},
    "a LoRA": {f"{LAYER}.to_q.lora_down.weight": (4, 320)},
    "LoRA": {f"{LAYER}.processor.to_q_lora.down.weight": (4, 320)},
    "an IP-Adapter": {"image_proj.proj.weight": (3072, 1024)},
    "HotshotXL": {f"{LAYER}.pos_encoder.positional_encoding": (1, 8, 320)},
    "PIA": {f"{LAYER}.to_q.weight": (320, 320), "conv_in.weight": (320, 9, 3, 3)},
    "HelloMeme": {f"{LAYER}.pos_embed.pe": (1, 32, 320)},
    "motion module for Stable Diffusion XL": {LAYER.replace("s.0.m", f"s.{i}.m", 1): (320, 320) for i in range(3)},
    "OpenCLIP": {"visual.transformer.resblocks.0.attn.in_proj_weight": (3072, 1024)},
}


@pytest.mark.parametrize("family", FAMILIES)
def test_other_families_are_named(family):
    shapes = FAMILIES[family]
    answer = refusal(Header(Path("x"), shapes, dict.fromkeys(shapes, torch.float32), {}))
    assert answer is not None
    assert family in answer


def test_what_loads_is_not_refused(public_parts):
    for tensors in public_parts.values():
        shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
        assert refusal(Header(Path("x"), shapes, dict.fromkeys(shapes, torch.float32), {})) is None
