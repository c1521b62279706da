"""Public weights through the public loader: whole models, wrong files, hostile files."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest
import torch

from model_core.backbones.base import AnimationInputs
from model_core.errors import CheckpointError
from model_core.models import FLOAT8, listed_models, load_files, load_model, save_model
from model_core.types import Branch, MotionSignal, ReferenceInputs
from model_core.weights.io import read_safetensors, write_safetensors


@pytest.fixture
def load(public_folder: Path, public_overrides: dict[str, Any]) -> Any:
    """``load(dtype=...)``: the tiny public model."""
    return lambda **options: load_files([public_folder], overrides=public_overrides, **options)


def predict(model: Any) -> torch.Tensor:
    """One call of the denoiser on fixed inputs."""
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(1, 3, 16, 16, generator=generator).to(model.dtype)
    latents = model.autoencoder.encode(image * 2 - 1)
    reference = model.backbone.encode_reference(ReferenceInputs(image * 2 - 1, latents))
    signal = MotionSignal("parsing_map", image.expand(3, -1, -1, -1))
    conditioning = model.backbone.prepare(AnimationInputs(reference, signal))
    noise = torch.randn(1, 3, 4, 8, 8, generator=generator).to(model.dtype)
    made = model.backbone.predict(noise, torch.tensor(500), conditioning, [Branch.FULL])
    return made[Branch.FULL]


def test_a_folder_of_public_files_is_loaded_exactly(
    load: Any, public_parts: dict[str, dict[str, torch.Tensor]]
) -> None:
    model = load()
    state = model.backbone.state_dict()
    for key, value in public_parts["denoiser"].items():
        assert torch.equal(state[f"denoiser.unet.{key}"], value), key
    reference = [key for key in state if key.startswith("reference_net.")]
    for key in reference:
        assert torch.equal(state[key], public_parts["reference"][key.removeprefix("reference_net.unet.")])
    assert len(reference) > 100
    assert not any(tensor.is_meta for tensor in [*state.values(), *model.backbone.buffers()])
    assert not any(parameter.requires_grad for parameter in model.backbone.parameters())
    assert predict(model).isfinite().all()


@pytest.mark.parametrize(
    ("dtype", "computed", "decoded"),
    [
        (torch.float32, torch.float32, torch.float32),
        (torch.bfloat16, torch.bfloat16, torch.bfloat16),
        (torch.float16, torch.float16, torch.float32),  # no bfloat16 kernels are counted on beside float16
        (FLOAT8, torch.bfloat16, torch.bfloat16),
    ],
)
def test_number_formats_of_weights_arithmetic_and_autoencoder(load: Any, dtype, computed, decoded) -> None:
    model = load(dtype=dtype)
    unet = model.backbone.denoiser.unet
    assert model.dtype == computed
    assert unet.conv_in.weight.dtype == unet.conv_norm_out.weight.dtype == computed
    assert unet.mid_block.resnets[0].conv1.weight.dtype == dtype
    assert {parameter.dtype for parameter in model.autoencoder.parameters()} == {decoded}
    assert model.autoencoder.encode(torch.zeros(1, 3, 8, 8, dtype=computed)).dtype == computed
    assert model.autoencoder.decode(torch.zeros(1, 4, 4, 4, dtype=computed)).dtype == computed


def test_float8_weights_compute_nearly_the_same(load: Any) -> None:
    exact, coarse = predict(load()), predict(load(dtype=FLOAT8))
    assert coarse.dtype == torch.bfloat16
    error = (coarse.float() - exact).norm() / exact.norm()
    assert 0 < error < 0.3


def test_a_saved_model_is_the_same_model(load: Any, tmp_path: Path) -> None:
    model = load()
    save_model(model, tmp_path / "one.safetensors", dtype=torch.float32)
    again = load_model(tmp_path / "one.safetensors")
    assert again.config == model.config
    assert torch.equal(predict(again), predict(model))


def test_folders_are_found_by_their_name(public_folder: Path, public_overrides: dict[str, Any]) -> None:
    entries = listed_models([public_folder.parent])
    assert ("moore", public_folder, False) in [(entry.name, entry.path, entry.bundled) for entry in entries]
    with pytest.raises(CheckpointError, match="norm_num_groups 32 does not divide"):  # found, then read
        load_model("moore", folders=[public_folder.parent])


def test_a_folder_with_its_configs_loads_by_its_name(load: Any, public_folder: Path) -> None:
    exact = predict(load())
    config = {"attention_head_dim": 2, "norm_num_groups": 4, "num_attention_heads": 2}
    config |= {"motion_num_attention_heads": 2, "motion_norm_num_groups": 4}
    for path in list(public_folder.glob("*.safetensors")):  # each in a folder of its own, as diffusers saves them
        path.with_suffix("").mkdir()
        path.rename(path.with_suffix("") / path.name)
        (path.with_suffix("") / "config.json").write_text(json.dumps(config))
    model = load_model("moore", folders=[public_folder.parent])
    assert model.config.name == "moore"
    assert torch.equal(predict(model), exact)


def test_torch_files_load_as_safetensors_do(load: Any, public_folder: Path) -> None:
    exact = predict(load())
    for path in list(public_folder.glob("*.safetensors")):
        tensors = {f"module.{key}": value for key, value in read_safetensors(path)[0].items()}
        torch.save({"state_dict": tensors, "epoch": 3}, path.with_suffix(".pth"))
        path.unlink()
    assert torch.equal(predict(load()), exact)


def test_a_missing_tensor_is_listed_and_nothing_is_loaded(load: Any, public_folder: Path) -> None:
    path = public_folder / "denoiser.safetensors"
    tensors = read_safetensors(path)[0]
    del tensors["mid_block.resnets.0.conv1.bias"]
    write_safetensors(path, tensors)
    with pytest.raises(
        CheckpointError, match=r"missing \(1\): backbone\.denoiser\.unet\.mid_block\.resnets\.0\.conv1\.bias"
    ):
        load()


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (os.environ["VICTIM"],)


def spoil(path: Path, how: str) -> str:
    """Make a bad file of a good one; returns what the error says."""
    if how == "malicious":
        torch.save({"weight": Malicious()}, path.with_suffix(".pth"))
        path.unlink()
        return "not executed"
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
        return "truncated or foreign"
    if how == "header":
        path.write_bytes(struct.pack("<Q", 2**62) + path.read_bytes()[8:])
        return "not a whole safetensors file"
    tensors = read_safetensors(path)[0]
    if how == "nan":
        tensors["conv_out.weight"] = torch.full_like(tensors["conv_out.weight"], float("nan"))
        message = "holds NaN or infinite weights in conv_out.weight"
    elif how == "width":
        tensors["blocks.1.weight"] = torch.zeros(6, 4, 3, 3)
        message = "mis-shaped"
    elif how == "sdxl":
        tensors = {"model.diffusion_model.label_emb.0.0.weight": torch.zeros(4, 4)}
        message = "is a Stable Diffusion XL model"
    else:
        tensors = {"double_blocks.0.img_attn.qkv.weight": torch.zeros(4, 4)}
        message = "is a Flux model"
    write_safetensors(path, tensors)
    return message


@pytest.mark.parametrize("how", ["malicious", "truncated", "header", "nan", "width", "sdxl", "flux"])
def test_bad_files_are_named_and_nothing_is_executed(
    load: Any, public_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    victim = tmp_path / "executed"
    monkeypatch.setenv("VICTIM", str(victim))
    message = spoil(public_folder / "pose_guider.safetensors", how)
    with pytest.raises(CheckpointError) as caught:
        load()
    assert message in str(caught.value)
    assert "pose_guider" in str(caught.value)
    assert not victim.exists()


def golden_overrides(meta: dict[str, Any]) -> dict[str, Any]:
    """What a golden set's keys do not tell: heads and groups."""
    backbone = {
        "norm_num_groups": meta["unet"]["norm_num_groups"],
        "attention_heads": meta["unet"]["attention_head_dim"],
        "motion_norm_groups": meta.get("motion_module_norm_num_groups", 32),
    }
    if "image_encoder" in meta:
        backbone["image_encoder"] = {"num_attention_heads": meta["image_encoder"]["num_attention_heads"]}
    kl = {"norm_num_groups": meta["vae"]["norm_num_groups"]} if "vae" in meta else {}
    return {"backbone": backbone, "autoencoder": {"kl": kl}}


NOT_YET_LOADED = {"GVCLab/PersonaLive"}
"""Peers whose networks no family here has yet; their files are refused by name."""


def test_every_golden_set_loads(shared_folder: Path, tiny_public_rest: Any) -> None:
    """The peers' own checkpoints, whatever their widths, heads and storage; a base without the rest is completed."""
    sets = sorted(path.parent for path in (shared_folder / "golden").glob("*/meta.json"))
    read = {folder: json.loads((folder / "meta.json").read_text()) for folder in sets}
    known = {folder: meta for folder, meta in read.items() if meta.get("peer") not in NOT_YET_LOADED}
    assert known
    for folder, meta in known.items():
        files = [path for path in sorted(folder.iterdir()) if path.suffix == ".safetensors" and path.stem != "io"]
        overrides = golden_overrides(meta)
        model = load_files([*files, *tiny_public_rest(files, overrides)], overrides=overrides)
        config = model.backbone.config
        assert list(config.block_out_channels) == meta["unet"]["block_out_channels"], folder.name
        assert config.cross_attention_dim == meta["unet"]["cross_attention_dim"]
        assert config.layers_per_block == meta["unet"]["layers_per_block"]
        assert config.motion_max_length == 32
        if "pose_guider" in meta:
            assert list(config.pose_guider_channels) == meta["pose_guider"]["block_out_channels"]
        if "scheduler" in meta:
            assert model.config.schedule.beta_schedule == meta["scheduler"]["beta_schedule"]
            assert model.config.schedule.prediction_type == meta["scheduler"]["prediction_type"]


@pytest.fixture
def tiny_public_rest(tmp_path: Path) -> Any:
    """A random PoseGuider and image encoder for files that come without."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    from model_core.backbones.unet.backbone import UNetConfig
    from model_core.models import build_model
    from model_core.weights.plan import survey

    def rest(files: list[Path], overrides: dict[str, Any]) -> list[Path]:
        found = survey(files, overrides=overrides)
        made = []
        if "pose_guider" in found.missing:
            config = UNetConfig(**found.config.backbone)
            small = {**config.to_dict(), "image_encoder": {"hidden_size": 8, "num_hidden_layers": 1}}
            small["image_encoder"] |= {"num_attention_heads": 1, "intermediate_size": 8, "projection_dim": 8}
            stride = type(found.config.autoencoder)(stride=config.latent_stride)
            guider = build_model(type(found.config)(name="x", backbone=small, autoencoder=stride)).backbone.pose_guider
            made.append(write_safetensors(tmp_path / "guider.safetensors", guider.state_dict()))
        if "image_encoder" in found.missing:
            sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
            width = found.config.backbone["cross_attention_dim"]
            clip = CLIPVisionModelWithProjection(CLIPVisionConfig(**sizes, projection_dim=width))
            made.append(write_safetensors(tmp_path / "clip.safetensors", clip.state_dict()))
        return made

    return rest
