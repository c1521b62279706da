from __future__ import annotations

import pytest

from model_core.errors import ModelNotFoundError
from model_core.weights.folder import holds_weights, weight_files


def make(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def found(folder):
    return [str(path.relative_to(folder)) for path in weight_files(folder)]


def test_a_file_is_itself(tmp_path):
    make(tmp_path, "a.pth")
    assert weight_files(tmp_path / "a.pth") == [tmp_path / "a.pth"]


def test_files_and_those_of_sub_folders_but_nothing_deeper(tmp_path):
    make(tmp_path, "b.pth", "a.ckpt", "readme.md", ".hidden.pth", "vae/v.safetensors", "vae/old/v2.safetensors")
    assert found(tmp_path) == ["a.ckpt", "b.pth", "vae/v.safetensors"]


def test_every_network_once_in_its_fullest_and_safest_edition(tmp_path):
    make(
        tmp_path,
        *(f"unet/diffusion_pytorch_model{end}" for end in (".bin", ".safetensors", ".fp16.safetensors")),
        *(f"clip/{name}" for name in ("pytorch_model.bin", "model.fp16.safetensors", "model.safetensors")),
        *(f"half/diffusion_pytorch_model{end}" for end in (".fp16.bin", ".fp16.safetensors", ".non_ema.safetensors")),
    )
    assert found(tmp_path) == [
        "clip/model.safetensors",
        "half/diffusion_pytorch_model.fp16.safetensors",
        "unet/diffusion_pytorch_model.safetensors",
    ]


def test_a_diffusers_pipeline_is_its_components(tmp_path):
    make(
        tmp_path,
        "model_index.json",
        "v1-5-pruned.safetensors",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
        "safety_checker/model.safetensors",
    )
    assert found(tmp_path) == ["unet/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors"]


def test_a_folder_without_weights_is_named(tmp_path):
    make(tmp_path, "notes/readme.md")
    assert not holds_weights(tmp_path)
    assert not holds_weights(tmp_path / "absent")
    with pytest.raises(ModelNotFoundError, match="no weights in this folder"):
        weight_files(tmp_path)
    make(tmp_path, "notes/a.pth")
    assert holds_weights(tmp_path)
