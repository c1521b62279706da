from __future__ import annotations

import json
import os
import pickle
import resource
import struct
import zipfile
from contextlib import suppress

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_core.errors import CheckpointError, ModelNotFoundError
from model_core.weights.io import open_weights, read_metadata, read_safetensors, write_safetensors

# a pickle of plain Python is protocol 4 or 5, and torch says so before it refuses
pytestmark = pytest.mark.filterwarnings("ignore:Detected pickle protocol")

DTYPES = st.sampled_from([torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool])
SHAPES = st.lists(st.integers(0, 4), max_size=3)
KEYS = st.text("abc._0", min_size=1, max_size=8)


@pytest.fixture
def tensors():
    return {"a.weight": torch.arange(12, dtype=torch.float32).reshape(3, 4), "a.count": torch.tensor(7)}


@pytest.fixture
def saved(tmp_path, tensors):
    return write_safetensors(tmp_path / "model.safetensors", tensors, {"config": '{"x": 1}'})


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(layout=st.dictionaries(KEYS, st.tuples(DTYPES, SHAPES), min_size=1, max_size=4), note=st.text(max_size=20))
def test_what_was_written_is_read(tmp_path, layout, note):
    written = {key: torch.ones(shape).to(dtype) for key, (dtype, shape) in layout.items()}
    path = write_safetensors(tmp_path / "model.safetensors", written, {"note": note})
    read, metadata = read_safetensors(path)
    assert metadata == {"note": note} == read_metadata(path)
    assert read.keys() == written.keys()
    for key, tensor in written.items():
        assert read[key].dtype == tensor.dtype
        assert torch.equal(read[key], tensor)


def test_dtype_is_for_floating_point_tensors_only(saved):
    read, _ = read_safetensors(saved, dtype=torch.float16)
    assert read["a.weight"].dtype == torch.float16
    assert read["a.count"].dtype == torch.int64


def test_views_are_written(tmp_path, tensors):
    path = write_safetensors(tmp_path / "new" / "model.safetensors", {"t": tensors["a.weight"].T})
    assert torch.equal(read_safetensors(path)[0]["t"], tensors["a.weight"].T)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ModelNotFoundError, match="nowhere.safetensors"):
        read_metadata(tmp_path / "nowhere.safetensors")


@pytest.mark.parametrize("length", [0, 4, 8, 40, -1])
def test_truncated_file(saved, length):
    saved.write_bytes(saved.read_bytes()[:length])
    with pytest.raises(CheckpointError, match=r"model\.safetensors.*[Dd]ownload"):
        read_safetensors(saved)


@pytest.mark.parametrize("size", [2**63, 2**40, 2**27])
def test_absurd_header_size(saved, size):
    saved.write_bytes(struct.pack("<Q", size) + saved.read_bytes()[8:])
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        read_metadata(saved)


def test_header_that_points_outside_the_file(tmp_path):
    header = json.dumps({"x": {"dtype": "F32", "shape": [1000], "data_offsets": [0, 4000]}}).encode()
    path = tmp_path / "short.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(16))
    with pytest.raises(CheckpointError, match=r"short\.safetensors"):
        read_safetensors(path)


@pytest.mark.parametrize(
    ("content", "remedy"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "git lfs pull"),
        (b"<!DOCTYPE html><html>not found</html>", "web page"),
        (b"PK\x03\x04" + bytes(100), "rename it to .pth"),
        (bytes(range(256)), "foreign"),
    ],
)
def test_foreign_file_gets_its_remedy(tmp_path, content, remedy):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=remedy):
        read_safetensors(path)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_weights_that_are_not_finite_are_named(tmp_path, bad, dtype):
    weights = {"good": torch.ones(3, dtype=dtype), "broken.weight": torch.tensor([0, bad], dtype=dtype)}
    path = write_safetensors(tmp_path / "model.safetensors", weights)
    with pytest.raises(CheckpointError, match=r"in broken\.weight\.") as caught:
        read_safetensors(path)
    assert "good" not in str(caught.value)


def test_float8_is_checked_too(tmp_path):
    weights = {"w": torch.tensor([1.0, float("nan")]).to(torch.float8_e4m3fn)}
    with pytest.raises(CheckpointError, match=r"in w\."):
        read_safetensors(write_safetensors(tmp_path / "model.safetensors", weights))


def test_full_disk_leaves_the_old_file_and_no_partial_one(saved, tensors):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
    try:
        with pytest.raises(CheckpointError, match=r"model\.safetensors could not be written.*space"):
            write_safetensors(saved, {"big": torch.ones(1 << 20)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in saved.parent.iterdir()] == ["model.safetensors"]
    assert read_safetensors(saved)[0].keys() == tensors.keys()


def test_folder_that_is_a_file(saved, tensors):
    with pytest.raises(CheckpointError, match="could not be written"):
        write_safetensors(saved / "model.safetensors", tensors)


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("zipped", [False, True])
def test_torch_file(tmp_path, tensors, wrapped, zipped):
    path = tmp_path / "model.ckpt"
    content = {"state_dict": tensors, "epoch": 3} if wrapped else tensors
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with open_weights(path) as file:
        assert file.metadata == {} and file.strays == (("epoch",) if wrapped else ())
        assert file.shapes() == {key: tuple(tensor.shape) for key, tensor in tensors.items()}
        assert file.dtypes() == {key: tensor.dtype for key, tensor in tensors.items()}
        assert all(torch.equal(file.tensor(key), tensor) for key, tensor in tensors.items())


def read_torch(path):
    """All tensors, as loading reads them."""
    with open_weights(path) as file:
        return {key: file.tensor(key).clone() for key in file.shapes()}


class Malicious:
    def __reduce__(self):
        return os.mkdir, (os.environ["VICTIM"],)


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_malicious_pickle_runs_nothing(tmp_path, monkeypatch, writer):
    victim = tmp_path / "executed"
    monkeypatch.setenv("VICTIM", str(victim))
    path = tmp_path / "evil.pth"
    if writer == "torch":
        torch.save({"weight": Malicious()}, path)
    else:
        path.write_bytes(pickle.dumps({"weight": Malicious()}))
    with pytest.raises(CheckpointError, match=r"evil\.pth.*not executed"):
        read_torch(path)
    assert not victim.exists()


@pytest.mark.parametrize("content", [b"", b"\x80", b"PK\x03\x04junk", b"plain text", bytes(1000)])
def test_torch_file_that_is_none(tmp_path, content):
    path = tmp_path / "model.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.pth"):
        read_torch(path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), zipped=st.booleans())
def test_a_damaged_torch_file_never_fails_otherwise(tmp_path, data, zipped):
    path = tmp_path / "model.pth"
    torch.save({"w": torch.ones(3)}, path, _use_new_zipfile_serialization=zipped)
    content = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=6)):
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with suppress(CheckpointError):
        read_torch(path)


def zipped_again(path, target, *, more=b""):
    """The same archive, compressed, with so many further bytes in it."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as new:
        for entry in old.infolist():
            new.writestr(entry, old.read(entry), zipfile.ZIP_DEFLATED)
        new.writestr("more", more)
    return target


def test_a_zip_bomb_is_refused_by_its_own_directory(tmp_path, monkeypatch):
    torch.save({"w": torch.rand(1000)}, tmp_path / "whole.pth")
    bomb = zipped_again(tmp_path / "whole.pth", tmp_path / "bomb.pth", more=bytes(2**26))
    assert bomb.stat().st_size < 2**17
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was unpacked"))
    with pytest.raises(CheckpointError, match=r"bomb\.pth would grow from 0\.1 MB to 67 MB.*not opened"):
        read_torch(bomb)
    small = zipped_again(tmp_path / "whole.pth", tmp_path / "small.pth", more=bytes(2**20))
    with pytest.raises(pytest.fail.Exception, match="unpacked"):  # a little growth hurts nobody
        read_torch(small)


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {"state_dict": [torch.ones(1)]}])
def test_torch_file_without_a_state_dict(tmp_path, content):
    path = tmp_path / "model.pth"
    torch.save(content, path)
    with pytest.raises(CheckpointError, match="no state dict"):
        read_torch(path)


def test_unknown_suffix(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"onnx")
    with pytest.raises(CheckpointError, match=r"model\.onnx.*\.safetensors"), open_weights(tmp_path / "model.onnx"):
        pass
