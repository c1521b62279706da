from __future__ import annotations

import os

import pytest


@pytest.fixture(scope="module")
def load(comfy):
    return comfy.module("nodes.load")


def test_a_model_that_is_gone_is_refused_before_anything_runs(host, load, hosted_model):
    assert load.LoadPortraitModel.validate_inputs(model="tiny.safetensors") is True
    message = load.LoadPortraitModel.validate_inputs(model="gone.safetensors")
    assert "gone.safetensors" in message
    assert "tiny.safetensors" in message


def test_a_changed_file_is_loaded_again(host, load, hosted_model):
    path = host.models_dir / "portraits" / "tiny.safetensors"
    before = load.LoadPortraitModel.fingerprint_inputs(model=path.name, dtype="auto")
    assert before == load.LoadPortraitModel.fingerprint_inputs(model=path.name, dtype="auto")
    os.utime(path, ns=(1, 1))
    assert before != load.LoadPortraitModel.fingerprint_inputs(model=path.name, dtype="auto")


def test_dtype_is_what_the_user_sets(host, load, hosted_model):
    (model,) = load.LoadPortraitModel.execute(model="tiny.safetensors", dtype="bfloat16").args
    assert str(model.model.dtype) == "torch.bfloat16"
    assert next(model.patcher.model.parameters()).dtype == model.model.dtype


def test_a_truncated_file_is_refused_by_name(host, load, hosted_model):
    whole = (host.models_dir / "portraits" / "tiny.safetensors").read_bytes()
    broken = host.models_dir / "portraits" / "broken.safetensors"
    broken.write_bytes(whole[: len(whole) // 2])
    try:
        with pytest.raises(host.module("model_core.errors").CheckpointError, match="broken.safetensors"):
            load.LoadPortraitModel.execute(model=broken.name, dtype="auto")
    finally:
        broken.unlink()


def test_standard_folders_offer_this_project_s_models_only(host, load, hosted_model):
    whole = (host.models_dir / "portraits" / "tiny.safetensors").read_bytes()
    for folder in load.bridge.folders.STANDARD_FOLDERS:
        (host.models_dir / folder).mkdir()
        (host.models_dir / folder / "mine.safetensors").write_bytes(whole)
        (host.models_dir / folder / "sd15.safetensors").write_bytes(b"\2\0\0\0\0\0\0\0{}")
        (host.models_dir / folder / "old.ckpt").write_bytes(whole)
    names = [name for name in load.bridge.model_names() if "/" in name]
    assert names == [f"{folder}/mine.safetensors" for folder in load.bridge.folders.STANDARD_FOLDERS]
    for name in names:
        assert load.LoadPortraitModel.validate_inputs(model=name) is True
    assert load.bridge.model_path("checkpoints/sd15.safetensors") is None
    assert load.bridge.model_path("../model_core/assets/vivid-avatars") is None
    (model,) = load.LoadPortraitModel.execute(model="vae/mine.safetensors", dtype="auto").args
    assert model.model.config.name == "tiny"


@pytest.mark.parametrize(
    ("choice", "memory", "expected"),
    [
        ("auto", "normal", "sdpa"),
        ("auto", "low", "sliced"),
        ("auto", "none", "sliced"),
        ("sdpa", "low", "sdpa"),
        ("sliced", "normal", "sliced"),
    ],
)
def test_attention_is_what_the_user_or_the_host_says(host, load, hosted_model, choice, memory, expected):
    host.vram_state = memory
    (model,) = load.LoadPortraitModel.execute(model="tiny.safetensors", dtype="auto", attention=choice).args
    (kind,) = {processor.attend.__name__ for processor in model.model.backbone.denoiser.unet.attn_processors.values()}
    assert kind == expected


def test_without_a_compiler_the_log_says_so_and_the_model_runs(host, load, hosted_model, monkeypatch, caplog):
    compiling = host.module("model_core.backbones.compiling")
    monkeypatch.setattr(compiling, "_missing_compiler", lambda device: "no C++ compiler")
    (model,) = load.LoadPortraitModel.execute(model="tiny.safetensors", dtype="auto", compile=True).args
    assert "compile: no C++ compiler. The model runs uncompiled." in caplog.text
    assert model.model.backbone.denoiser._compiled_call_impl is None


def test_compile_reaches_the_denoiser(host, load, hosted_model, monkeypatch):
    compiling = host.module("model_core.backbones.compiling")
    monkeypatch.setattr(compiling, "_missing_compiler", lambda device: None)
    (model,) = load.LoadPortraitModel.execute(model="tiny.safetensors", dtype="auto", compile=True).args
    assert model.model.backbone.denoiser._compiled_call_impl is not None
