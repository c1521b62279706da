"""Whether a denoiser is compiled, and what is said where it cannot be."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from model_core.backbones import compiling


@pytest.fixture
def compiled(monkeypatch):
    """What torch.compile was asked to compile; calling the result is calling the original."""
    asked = []
    monkeypatch.setattr(torch, "compile", lambda function, **_: asked.append(function) or function)
    return asked


def test_a_denoiser_is_compiled_in_place(compiled, monkeypatch):
    network = nn.Linear(2, 2)
    keys = set(network.state_dict())
    assert compiling.compile_denoiser(network, torch.device("cpu")) is None
    assert network._compiled_call_impl is not None
    assert set(network.state_dict()) == keys
    assert len(compiled) == 2  # the trial and the network
    assert network(torch.zeros(1, 2)).shape == (1, 2)


@pytest.mark.parametrize(
    "error",
    [RuntimeError("No working C++ compiler found\nlong trace"), ImportError("No module named triton"), OSError("gcc")],
)
def test_without_a_compiler_the_reason_is_told_and_nothing_changes(monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(torch, "compile", lambda function, **_: fail)
    network = nn.Linear(2, 2)
    reason = compiling.compile_denoiser(network, torch.device("cpu"))
    assert str(error).splitlines()[0] in reason
    assert "install a C++ compiler" in reason
    assert "long trace" not in reason
    assert network._compiled_call_impl is None
