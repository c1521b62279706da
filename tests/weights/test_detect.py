from __future__ import annotations

import os

import pytest
import torch

from model_core.weights import detect
from model_core.weights.io import write_safetensors


@pytest.fixture
def ours(tmp_path):
    return write_safetensors(tmp_path / "ours.safetensors", {"w": torch.zeros(2)}, {detect.CONFIG_KEY: "{}"})


def test_a_model_is_known_by_its_metadata_alone(ours, monkeypatch):
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: pytest.fail("weights were read"))
    assert detect.holds_portrait_model(ours)


def test_foreign_broken_and_absent_files_are_not_ours(tmp_path):
    foreign = write_safetensors(tmp_path / "foreign.safetensors", {"w": torch.zeros(2)}, {"format": "pt"})
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"<html>")
    assert not detect.holds_portrait_model(foreign)
    assert not detect.holds_portrait_model(broken)
    assert not detect.holds_portrait_model(tmp_path / "absent.safetensors")
    assert not detect.holds_portrait_model(tmp_path)


def test_a_header_is_read_once_for_each_version_of_a_file(ours, monkeypatch):
    read = []
    monkeypatch.setattr(detect, "read_metadata", lambda path: read.append(path) or {detect.CONFIG_KEY: "{}"})
    for _ in range(3):
        detect.holds_portrait_model(ours)
    assert read == [ours]
    os.utime(ours, ns=(5, 5))
    detect.holds_portrait_model(ours)
    detect.holds_portrait_model(ours)
    assert read == [ours, ours]
