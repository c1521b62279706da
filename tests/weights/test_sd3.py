"""Published SD3 weights: a diffusers folder and a file of the original names say the same, wholly or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer

from model_core.backbones.dit import DiTConfig
from model_core.backbones.dit.denoiser import Denoiser, parameter_counts
from model_core.errors import CheckpointError, ModelNotFoundError
from model_core.weights.header import read_header
from model_core.weights.load import load_strict
from model_core.weights.sd3 import null_prompt, read_sd3, sd3_config, sd3_settings

TINY = {
    "sample_size": 8,
    "patch_size": 2,
    "in_channels": 4,
    "out_channels": 4,
    "num_layers": 3,
    "attention_head_dim": 8,
    "num_attention_heads": 2,
    "joint_attention_dim": 6,
    "caption_projection_dim": 16,
    "pooled_projection_dim": 10,
    "pos_embed_max_size": 12,
    "dual_attention_layers": (0, 1),
    "qk_norm": "rms_norm",
}
_PLAIN = {
    "pos_embed.proj": "x_embedder.proj",
    "time_text_embed.timestep_embedder.linear_1": "t_embedder.mlp.0",
    "time_text_embed.timestep_embedder.linear_2": "t_embedder.mlp.2",
    "time_text_embed.text_embedder.linear_1": "y_embedder.mlp.0",
    "time_text_embed.text_embedder.linear_2": "y_embedder.mlp.2",
    "context_embedder": "context_embedder",
    "proj_out": "final_layer.linear",
}
_BLOCK = {
    "attn.to_out.0": "x_block.attn.proj",
    "attn.to_add_out": "context_block.attn.proj",
    "attn2.to_out.0": "x_block.attn2.proj",
    "norm1.linear": "x_block.adaLN_modulation.1",
    "ff.net.0.proj": "x_block.mlp.fc1",
    "ff.net.2": "x_block.mlp.fc2",
    "ff_context.net.0.proj": "context_block.mlp.fc1",
    "ff_context.net.2": "context_block.mlp.fc2",
}
_NORMS = {
    "attn.norm_q": "x_block.attn.ln_q",
    "attn.norm_k": "x_block.attn.ln_k",
    "attn.norm_added_q": "context_block.attn.ln_q",
    "attn.norm_added_k": "context_block.attn.ln_k",
    "attn2.norm_q": "x_block.attn2.ln_q",
    "attn2.norm_k": "x_block.attn2.ln_k",
}
_JOINED = {
    "x_block.attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "context_block.attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
    "x_block.attn2.qkv": ("attn2.to_q", "attn2.to_k", "attn2.to_v"),
}


@pytest.fixture
def transformer() -> SD3Transformer2DModel:
    torch.manual_seed(0)
    network = SD3Transformer2DModel(**TINY)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    return network.eval().requires_grad_(False)


def original(network: SD3Transformer2DModel) -> dict[str, Tensor]:
    """The published names of the same weights, by the papers' own layout."""
    ours = network.state_dict()
    made = {"pos_embed": ours["pos_embed.pos_embed"]}
    for kind in ("weight", "bias"):
        made |= {f"{new}.{kind}": ours[f"{old}.{kind}"] for old, new in _PLAIN.items()}
        shift = ours[f"norm_out.linear.{kind}"].chunk(2)[::-1]
        made[f"final_layer.adaLN_modulation.1.{kind}"] = torch.cat(shift)
        for number in range(3):
            old, new = f"transformer_blocks.{number}.", f"joint_blocks.{number}."
            for ours_part, part in _BLOCK.items():
                if f"{old}{ours_part}.{kind}" in ours:
                    made[f"{new}{part}.{kind}"] = ours[f"{old}{ours_part}.{kind}"]
            for part, three in _JOINED.items():
                if f"{old}{three[0]}.{kind}" in ours:
                    made[f"{new}{part}.{kind}"] = torch.cat([ours[f"{old}{name}.{kind}"] for name in three])
            context = ours[f"{old}norm1_context.linear.{kind}"]
            if number == 2:  # the last block has a plain norm, whose halves diffusers swaps
                context = torch.cat(context.chunk(2)[::-1])
            made[f"{new}context_block.adaLN_modulation.1.{kind}"] = context
    for number in range(3):
        for ours_part, part in _NORMS.items():
            key = f"transformer_blocks.{number}.{ours_part}.weight"
            if key in ours:
                made[f"joint_blocks.{number}.{part}.weight"] = ours[key]
    return {key: value.clone() for key, value in made.items()}


def same(found: dict[str, Tensor], network: SD3Transformer2DModel) -> None:
    wanted = network.state_dict()
    assert set(found) == set(wanted)
    for key, tensor in wanted.items():
        torch.testing.assert_close(found[key], tensor, atol=0, rtol=0)


def test_a_diffusers_folder(transformer: SD3Transformer2DModel, tmp_path: Path) -> None:
    transformer.save_pretrained(tmp_path / "model" / "transformer", max_shard_size="20KB")
    assert len(list((tmp_path / "model" / "transformer").glob("*.safetensors"))) > 1
    same(read_sd3(tmp_path / "model").transformer, transformer)
    same(read_sd3(tmp_path / "model" / "transformer").transformer, transformer)


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
def test_a_single_file_of_the_original_names(transformer: SD3Transformer2DModel, tmp_path: Path, prefix: str) -> None:
    tensors = {prefix + key: value for key, value in original(transformer).items()}
    if prefix:
        tensors["text_encoders.clip_l.weight"] = torch.zeros(1)
    save_file(tensors, tmp_path / "sd3.safetensors")
    found = read_sd3(tmp_path / "sd3.safetensors")
    same(found.transformer, transformer)
    assert found.autoencoder is None


def test_its_shape_is_read_off_the_tensors_and_it_loads_strictly(transformer: SD3Transformer2DModel) -> None:
    tensors = transformer.state_dict()
    settings = sd3_settings(tensors)
    assert settings == {key: value for key, value in TINY.items() if key != "sample_size"}
    network = Denoiser(DiTConfig(**settings, sample_size=8, prompt_tokens=2, video_attention_after=(1,)))
    load_strict(network.transformer, tensors, name="sd3")
    same(network.transformer.state_dict(), transformer)
    with pytest.raises(CheckpointError, match="missing"):
        load_strict(network.transformer, {"pos_embed.proj.bias": tensors["pos_embed.proj.bias"]}, name="sd3")


def with_text_encoders(folder: Path) -> SD3Transformer2DModel:
    """A tiny diffusers folder with two of the three text encoders, as users without T5 have it."""
    vocabulary = {"<|startoftext|>": 0, "<|endoftext|>": 1, "a": 2, "a</w>": 3}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77)
    config = CLIPTextConfig(
        vocab_size=4,
        hidden_size=4,
        intermediate_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        projection_dim=5,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    torch.manual_seed(0)
    encoders = [CLIPTextModelWithProjection(config) for _ in range(2)]
    transformer = SD3Transformer2DModel(**{**TINY, "joint_attention_dim": 12})
    StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=None,
        text_encoder=encoders[0],
        tokenizer=tokenizer,
        text_encoder_2=encoders[1],
        tokenizer_2=tokenizer,
        text_encoder_3=None,
        tokenizer_3=None,
    ).save_pretrained(folder / "sd3")
    return transformer


def test_the_null_prompt_is_made_by_the_folders_own_text_encoders(tmp_path: Path) -> None:
    transformer = with_text_encoders(tmp_path)
    made = null_prompt(tmp_path / "sd3", transformer)
    assert made is not None
    tokens, pooled = made
    assert tokens.shape == (1, 77 + 256, 12) and pooled.shape == (1, 10)
    encoder = CLIPTextModelWithProjection.from_pretrained(tmp_path / "sd3" / "text_encoder")
    nothing = torch.tensor([[0, *[1] * 76]])
    wanted = encoder(nothing, output_hidden_states=True)
    torch.testing.assert_close(tokens[:, :77, :4], wanted.hidden_states[-2], atol=0.03, rtol=0.03)
    torch.testing.assert_close(pooled[:, :5], wanted.text_embeds, atol=0.03, rtol=0.03)
    assert not tokens[:, 77:].any() and not tokens[..., 8:].any()


def test_a_folder_without_text_encoders_has_no_null_prompt(transformer: SD3Transformer2DModel, tmp_path: Path) -> None:
    transformer.save_pretrained(tmp_path / "sd3" / "transformer")
    assert null_prompt(tmp_path / "sd3", transformer) is None


@pytest.mark.parametrize("published", [True, False])
def test_headers_alone_tell_what_the_base_grows_into(
    transformer: SD3Transformer2DModel, tmp_path: Path, published: bool
) -> None:
    tensors = original(transformer) if published else transformer.state_dict()
    save_file({key: value.contiguous() for key, value in tensors.items()}, tmp_path / "sd3.safetensors")
    config = sd3_config([read_header(tmp_path / "sd3.safetensors")])
    assert config is not None and config.width == 16 and config.video_attention_after == (2,)
    base, new = parameter_counts(config)
    assert base == sum(parameter.numel() for parameter in transformer.parameters())
    # keys, queries and values, the way out, and two norms over a head
    assert new == 3 * 16 * (16 + 1) + 16 * (16 + 1) + 2 * 8


def test_other_headers_are_no_base(tmp_path: Path) -> None:
    save_file({"conv_in.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    assert sd3_config([read_header(tmp_path / "other.safetensors")]) is None
    save_file({"x_embedder.proj.weight": torch.zeros(1)}, tmp_path / "part.safetensors")
    with pytest.raises(CheckpointError, match=r"part\.safetensors"):
        sd3_config([read_header(tmp_path / "part.safetensors")])


def test_keys_of_no_part_are_refused(transformer: SD3Transformer2DModel, tmp_path: Path) -> None:
    save_file(original(transformer) | {"joint_blocks.0.lora.weight": torch.zeros(1)}, tmp_path / "sd3.safetensors")
    with pytest.raises(CheckpointError, match=r"joint_blocks\.0\.lora\.weight"):
        read_sd3(tmp_path / "sd3.safetensors")


def test_other_files_are_refused(tmp_path: Path) -> None:
    save_file({"some.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="no transformer of SD3"):
        read_sd3(tmp_path / "other.safetensors")
    with pytest.raises(ModelNotFoundError, match="is not there"):
        read_sd3(tmp_path / "none.safetensors")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelNotFoundError, match="holds no transformer"):
        read_sd3(tmp_path / "empty")


def test_what_is_new_beside_sd35_medium_is_counted() -> None:
    base, new = parameter_counts(DiTConfig())
    assert base == pytest.approx(2.24e9, rel=0.02)
    assert 0 < new < 0.03 * base
