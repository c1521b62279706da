from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from model_core.errors import CheckpointError
from model_core.weights import load
from model_core.weights.formats.animatediff import position_table
from model_core.weights.header import read_header
from model_core.weights.io import read_safetensors, write_safetensors
from model_core.weights.load import Source, load_sources, load_strict


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def test_the_tensors_become_the_parameters():
    donor, receiver = network().half().state_dict(), network()
    load_strict(receiver, donor, name="donor")
    for key, tensor in receiver.state_dict().items():
        assert tensor.data_ptr() == donor[key].data_ptr()
        assert tensor.dtype == donor[key].dtype
    assert all(parameter.requires_grad for parameter in receiver.parameters())


def test_a_module_on_the_meta_device_becomes_real():
    donor = network()
    with torch.device("meta"):
        receiver = network()
    load_strict(receiver, donor.state_dict(), name="donor")
    x = torch.randn(2, 3)
    assert torch.equal(receiver.eval()(x), donor.eval()(x))


def test_every_offending_key_is_in_one_error():
    receiver = network()
    before = {key: tensor.clone() for key, tensor in receiver.state_dict().items()}
    tensors = {key: torch.ones_like(tensor) for key, tensor in before.items()}
    del tensors["1.bias"]
    tensors["head.weight"] = torch.zeros(1)
    tensors["0.weight"] = torch.zeros(4, 5)
    tensors["1.weight"] = torch.zeros(4, dtype=torch.int8)
    with pytest.raises(CheckpointError) as caught:
        load_strict(receiver, tensors, name="other.safetensors")
    message = str(caught.value)
    assert message.startswith("other.safetensors")
    assert "missing (1): 1.bias" in message
    assert "unexpected (1): head.weight" in message
    assert "mis-shaped (2): 0.weight (4, 5), not (4, 3), 1.weight (4,) integer, not (4,)" in message
    for key, tensor in receiver.state_dict().items():
        assert torch.equal(tensor, before[key]), f"{key} was loaded although the file does not fit"


def test_long_lists_are_cut_and_counted():
    tensors = {**network().state_dict(), **{f"extra.{i}": torch.zeros(1) for i in range(300)}}
    with pytest.raises(CheckpointError, match=r"unexpected \(300\): extra\.0,.* and 288 more") as caught:
        load_strict(network(), tensors, name="long")
    assert len(str(caught.value)) < 600


def test_only_the_drops_that_are_allowed():
    tensors = {**network().state_dict(), "pos.pe": torch.zeros(1), "step": torch.zeros(1)}
    load_strict(network(), tensors, name="file", allowed_drops=["*.pe", "step"])
    with pytest.raises(CheckpointError, match=r"unexpected \(1\): step"):
        load_strict(network(), tensors, name="file", allowed_drops=["*.pe"])


def test_a_pattern_never_drops_a_key_that_the_network_wants():
    donor, receiver = network(), network()
    load_strict(receiver, donor.state_dict(), name="file", allowed_drops=["*"])
    assert torch.equal(receiver.get_parameter("0.weight"), donor.get_parameter("0.weight"))
    with pytest.raises(CheckpointError, match="missing"):
        load_strict(network(), {}, name="file", allowed_drops=["*"])


@pytest.fixture
def source(tmp_path):
    """The network's weights in a file, under other names."""
    torch.manual_seed(0)
    donor = network().state_dict()
    path = write_safetensors(tmp_path / "donor.safetensors", {f"old.{key}": value for key, value in donor.items()})
    return Source(read_header(path), {key: f"old.{key}" for key in donor})


def on_meta(dtype=torch.float32):
    with torch.device("meta"):
        module = network()
    for parameter in module.parameters():
        parameter.data = parameter.data.to(dtype)
    return module


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn])
def test_files_fill_a_module_in_its_own_types(source, dtype):
    module = on_meta(dtype)
    load_sources(module, [source], name="donor")
    written, _ = read_safetensors(source.header.path)
    assert {parameter.dtype for parameter in module.parameters()} == {dtype}
    for key, tensor in module.state_dict().items():
        assert torch.equal(tensor.float(), written[f"old.{key}"].to(tensor.dtype).float()), key


def test_the_file_may_change_after_it_was_read(source):
    module = on_meta()
    load_sources(module, [source], name="donor")
    before = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    source.header.path.write_bytes(bytes(source.header.path.stat().st_size))
    for key, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[key])


def test_a_file_is_let_go_after_every_few_tensors(source, monkeypatch):
    opened = []
    monkeypatch.setattr(load, "_MAPPED_AT_ONCE", 40)
    real = load.open_weights
    monkeypatch.setattr(load, "open_weights", lambda path: opened.append(path) or real(path))
    load_sources(on_meta(), [source], name="donor")
    assert 2 < len(opened) <= len(source.names)


def test_every_offending_key_of_a_file_is_in_one_error_and_nothing_is_read(source, monkeypatch):
    monkeypatch.setattr(load, "open_weights", lambda path: pytest.fail("a tensor was read"))
    shapes = {**source.header.shapes, "old.0.weight": (4, 5), "old.head": (1,)}
    dtypes = {**source.header.dtypes, "old.head": torch.float32, "old.1.weight": torch.int8}
    names = {**source.names, "head": "old.head"}
    del names["1.bias"]
    header = dataclasses.replace(source.header, shapes=shapes, dtypes=dtypes)
    with pytest.raises(CheckpointError) as caught:
        load_sources(on_meta(), [Source(header, names)], name="other")
    message = str(caught.value)
    assert message.startswith("other")
    assert "missing (1): 1.bias" in message
    assert "unexpected (1): head" in message
    assert "mis-shaped (2): 0.weight (4, 5), not (4, 3), 1.weight (4,) integer, not (4,)" in message


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["broken.safetensors", "broken.pth"])
def test_weights_that_are_not_finite_are_refused(tmp_path, bad, name):
    donor = network().state_dict()
    donor["1.bias"] = donor["1.bias"].clone()
    donor["1.bias"][0] = bad
    write = write_safetensors if name.endswith(".safetensors") else lambda path, tensors: torch.save(tensors, path)
    write(tmp_path / name, donor)
    header = read_header(tmp_path / name)
    with pytest.raises(CheckpointError, match=rf"{name} holds NaN or infinite weights in 1\.bias"):
        load_sources(on_meta(), [Source(header, {key: key for key in donor})], name="broken")


def test_weights_too_large_for_the_type_are_named(tmp_path):
    donor = network().state_dict()
    donor["0.weight"] = torch.full((4, 3), 1e6)
    header = read_header(write_safetensors(tmp_path / "large.safetensors", donor))
    with pytest.raises(CheckpointError, match=r"beyond the range of float16 in 0\.weight; choose bfloat16"):
        load_sources(on_meta(torch.float16), [Source(header, {key: key for key in donor})], name="large")


def test_a_convolution_of_one_pixel_is_a_matrix_and_nothing_else_is(tmp_path):
    donor = network().state_dict()
    for shape, fits in (((4, 3, 1, 1), True), ((4, 3, 1), False), ((3, 4), False)):
        tensors = {**donor, "0.weight": donor["0.weight"].reshape(shape)}
        header = read_header(write_safetensors(tmp_path / "old.safetensors", tensors))
        source = Source(header, {key: key for key in donor})
        if fits:
            module = on_meta()
            load_sources(module, [source], name="old")
            assert torch.equal(module.get_parameter("0.weight"), donor["0.weight"])
        else:
            with pytest.raises(CheckpointError, match="mis-shaped"):
                load_sources(on_meta(), [source], name="old")


def test_position_tables_are_checked_and_left_out(tmp_path):
    donor = network().state_dict()
    for table, right in ((position_table(24, 8), True), (position_table(24, 8) * 1.1, False)):
        header = read_header(write_safetensors(tmp_path / "mm.safetensors", {**donor, "pe": table}))
        source = Source(header, {key: key for key in donor}, ("pe",))
        if right:
            load_sources(on_meta(), [source], name="mm")
        else:
            with pytest.raises(CheckpointError, match=r"mm\.safetensors: pe is not AnimateDiff's position table"):
                load_sources(on_meta(), [source], name="mm")
