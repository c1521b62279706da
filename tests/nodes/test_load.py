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
