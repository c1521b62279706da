from __future__ import annotations

import pytest
import torch
from torch import nn

from model_core.errors import CheckpointError
from model_core.weights.load import load_strict


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
