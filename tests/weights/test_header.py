from __future__ import annotations

import pytest
import torch

from model_core.errors import CheckpointError, ModelNotFoundError
from model_core.weights import io
from model_core.weights.header import read_header
from model_core.weights.io import write_safetensors

TENSORS = {"a.weight": torch.zeros(2, 3), "a.step": torch.zeros((), dtype=torch.int64), "b": torch.zeros(4).half()}


def write(path, content):
    if path.suffix == ".safetensors":
        return write_safetensors(path, content, {"note": "x"})
    torch.save(content, path)
    return path


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".ckpt", ".bin"])
def test_shapes_and_formats_of_every_kind_of_file(tmp_path, suffix):
    header = read_header(write(tmp_path / f"model{suffix}", TENSORS))
    assert header.shapes == {"a.weight": (2, 3), "a.step": (), "b": (4,)}
    assert header.dtypes == {"a.weight": torch.float32, "a.step": torch.int64, "b": torch.float16}
    assert header.metadata == ({"note": "x"} if suffix == ".safetensors" else {})
    assert (header.prefix, header.strays, header.parameters) == ("", (), 11)


def test_float8_is_known(tmp_path):
    header = read_header(write(tmp_path / "m.safetensors", {"w": torch.zeros(2).to(torch.float8_e4m3fn)}))
    assert header.dtypes == {"w": torch.float8_e4m3fn}


def test_wrappings_of_a_training_are_taken_off(tmp_path):
    inner = {f"module.{key}": value for key, value in TENSORS.items()}
    content = {"epoch": 3, "global_step": 7, "animatediff_config": {"x": 1}, "state_dict": {**inner, "best": 0.5}}
    header = read_header(write(tmp_path / "mm.ckpt", content))
    assert set(header.shapes) == set(TENSORS)
    assert header.prefix == "module."
    assert set(header.strays) == {"epoch", "global_step", "animatediff_config", "best"}


def test_a_pickle_s_tensors_stay_on_disk(tmp_path, monkeypatch):
    path = write(tmp_path / "m.pth", {"w": torch.zeros(100)})
    seen = {}
    load = torch.load
    monkeypatch.setattr(torch, "load", lambda *args, **options: seen.update(options) or load(*args, **options))
    read_header(path)
    assert seen["mmap"] is True
    assert seen["weights_only"] is True


def test_files_from_before_the_zip_format_are_read(tmp_path):
    path = tmp_path / "old.ckpt"
    torch.save(TENSORS, path, _use_new_zipfile_serialization=False)
    assert read_header(path).shapes["a.weight"] == (2, 3)


def test_missing_empty_and_foreign_files_are_named(tmp_path):
    with pytest.raises(ModelNotFoundError, match=r"gone\.pth"):
        read_header(tmp_path / "gone.pth")
    with pytest.raises(CheckpointError, match=r"empty\.safetensors holds no tensors"):
        (tmp_path / "empty.safetensors").write_bytes(b"\2\0\0\0\0\0\0\0{}")
        read_header(tmp_path / "empty.safetensors")
    (tmp_path / "model.onnx").write_bytes(b"x")
    with pytest.raises(CheckpointError, match=r"model\.onnx: a weights file ends in"):
        read_header(tmp_path / "model.onnx")


def test_every_number_format_of_the_library_is_known():
    from safetensors.torch import _TYPES

    known = {name: dtype for name, dtype in _TYPES.items() if name in io._SAFETENSORS_DTYPES}
    assert known == io._SAFETENSORS_DTYPES
