"""Reading a model's weights: the tensors become the parameters, against copying them into fresh ones."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch import nn

from benchmarks.timing import seconds
from model_core.weights.io import read_safetensors, write_safetensors
from model_core.weights.load import load_strict

WIDTH, DEPTH = 2048, 12


def network() -> nn.Module:
    return nn.Sequential(*(nn.Linear(WIDTH, WIDTH) for _ in range(DEPTH)))


def assigned(path: Path) -> None:
    with torch.device("meta"):
        module = network()
    load_strict(module, read_safetensors(path)[0], name=path.name)


def copied(path: Path) -> None:
    network().load_state_dict(read_safetensors(path)[0])


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write_safetensors(Path(folder) / "model.safetensors", network().state_dict())
        print(f"  {path.stat().st_size / 1e6:.0f} MB")
        for work in (assigned, copied):
            print(f"  {work.__name__:<10} {seconds(lambda work=work: work(path)):.3f} s")
