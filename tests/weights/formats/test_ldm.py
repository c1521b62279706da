from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.weights.formats import ldm
from model_core.weights.header import Header

OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def header(shapes):
    return Header(Path("sd.safetensors"), shapes, dict.fromkeys(shapes, torch.float32), {})


def ends(*modules):
    return [f"{module}.{end}" for module in modules for end in ("weight", "bias")]


def unet_keys(levels, layers, attending):
    """The keys of CompVis's UNetModel, in the order in which its constructor counts its blocks."""
    resnet = ["in_layers.0", "in_layers.2", "emb_layers.1", "out_layers.0", "out_layers.3", "skip_connection"]
    attention = ["norm", "proj_in", "transformer_blocks.0.attn1.to_q", "transformer_blocks.0.attn2.to_k", "proj_out"]

    def layer(block, attends):
        yield from (f"{block}.0.{name}" for name in resnet)
        if attends:
            yield from (f"{block}.1.{name}" for name in attention)

    modules = ["time_embed.0", "time_embed.2", "input_blocks.0.0"]
    count = 1
    for level in range(levels):
        for _ in range(layers):
            modules += layer(f"input_blocks.{count}", level in attending)
            count += 1
        if level < levels - 1:
            modules.append(f"input_blocks.{count}.0.op")
            count += 1
    modules += [f"middle_block.{place}.{name}" for place in (0, 2) for name in resnet]
    modules += [f"middle_block.1.{name}" for name in attention]
    count = 0
    for level in reversed(range(levels)):
        for place in range(layers + 1):
            attends = level in attending
            modules += layer(f"output_blocks.{count}", attends)
            if level and place == layers:
                modules.append(f"output_blocks.{count}.{2 if attends else 1}.conv")
            count += 1
    return ends(*modules, "out.0", "out.2")


@settings(max_examples=40, deadline=None)
@given(levels=st.integers(2, 4), layers=st.integers(1, 3), data=st.data())
def test_unet_names_are_those_of_diffusers_own_converter(levels, layers, data):
    attending = data.draw(st.sets(st.integers(0, levels - 1), min_size=1))
    keys = [f"model.diffusion_model.{key}" for key in unet_keys(levels, layers, attending)]
    marked = {key: torch.tensor(float(place)) for place, key in enumerate(keys)}
    theirs = convert_ldm_unet_checkpoint(dict(marked), {"layers_per_block": layers})
    wanted = {f"unet.{name}": keys[int(mark)] for name, mark in theirs.items()}
    (piece,) = ldm.pieces(header({key: (4, 4, 1, 1) for key in keys}))
    assert dict(piece.names) == wanted
    assert piece.facts["layers_per_block"] == layers
    assert piece.facts["down_attention"] == tuple(level in attending for level in range(levels))
    assert piece.facts["up_attention"] == piece.facts["down_attention"][::-1]


def vae_keys(levels, layers):
    resnet = ["norm1", "conv1", "norm2", "conv2", "nin_shortcut"]
    modules = ["quant_conv", "post_quant_conv"]
    for half, side, more, mover in (("encoder", "down", 0, "downsample"), ("decoder", "up", 1, "upsample")):
        modules += [f"{half}.{name}" for name in ("conv_in", "norm_out", "conv_out")]
        modules += [f"{half}.mid.block_{i}.{name}" for i in (1, 2) for name in resnet]
        modules += [f"{half}.mid.attn_1.{name}" for name in ("norm", "q", "k", "v", "proj_out")]
        for level in range(levels):
            blocks = range(layers + more)
            modules += [f"{half}.{side}.{level}.block.{i}.{name}" for i in blocks for name in resnet]
            modules.append(f"{half}.{side}.{level}.{mover}.conv")
    return ends(*modules)


@settings(max_examples=20, deadline=None)
@given(levels=st.integers(1, 4), layers=st.integers(1, 3), alone=st.booleans())
def test_autoencoder_names_are_those_of_diffusers_own_converter(levels, layers, alone):
    keys = vae_keys(levels, layers)
    marked = {key: torch.full((1, 1, 1, 1), float(place)) for place, key in enumerate(keys)}
    config = {"down_block_types": [""] * levels, "up_block_types": [""] * levels}
    theirs = convert_ldm_vae_checkpoint({f"first_stage_model.{k}": v for k, v in marked.items()}, config)
    prefix = "" if alone else "first_stage_model."
    wanted = {f"vae.{name}": prefix + keys[int(mark.flatten()[0])] for name, mark in theirs.items()}
    (piece,) = ldm.pieces(header({prefix + key: (4, 4, 1, 1) for key in keys}))
    assert dict(piece.names) == wanted
    assert piece.facts["layers_per_block"] == layers
    assert len(piece.facts["block_out_channels"]) == levels


def test_names_at_full_width_are_those_of_the_recorded_maps(shared_folder: Path):
    maps = [
        json.loads((shared_folder / "keys" / f"map_ldm_to_diffusers_{part}.json").read_text())
        for part in ("unet", "vae")
    ]
    found = {
        key: name
        for piece in ldm.pieces(header({k: (1, 1, 1, 1) for m in maps for k in m}))
        for name, key in piece.names.items()
    }
    for part, recorded in zip(("unet", "vae"), maps, strict=True):
        for key, name in recorded.items():
            for old, new in OLD_NAMES.items():
                name = name.replace(f"attentions.0.{old}.", f"attentions.0.{new}.")
            assert found.pop(key) == f"{part}.{name}"
    assert not found


@pytest.mark.parametrize(
    ("key", "what"),
    [
        ("cond_stage_model.transformer.text_model.final_layer_norm.weight", "text encoder"),
        ("model_ema.diffusion_modelinput_blocks00weight", "averaged weights"),
        ("model_ema.decay", "averaged weights"),
        ("first_stage_model.loss.logvar", "training loss"),
        ("sqrt_one_minus_alphas_cumprod", "noise schedule"),
        ("log_one_minus_alphas_cumprod", "noise schedule"),
        ("sqrt_recip_alphas_cumprod", "noise schedule"),
        ("sqrt_recipm1_alphas_cumprod", "noise schedule"),
        ("posterior_mean_coef1", "noise schedule"),
        ("alphas_cumprod_prev", "noise schedule"),
        ("betas", "noise schedule"),
    ],
)
def test_what_a_single_file_carries_besides_is_ignored_by_name(key, what):
    assert what in ldm.ignored(header({key: (1,), "model.diffusion_model.x": (1,)}))[key]


def test_other_keys_are_not_ignored():
    assert not ldm.ignored(header({"model.diffusion_model.x": (1,), "first_stage_model.x": (1,), "betas.x": (1,)}))
