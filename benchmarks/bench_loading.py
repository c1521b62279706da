"""Loading public weights of full size: time, and peak host memory over what the weights themselves take.

Files of random numbers are written here, every part of the SD1.5 family in a file of its own. Each row loads them in a
process of its own, so that its peak is its own; the limit is 1.3 times the final weights.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.timing import seconds
from model_core.config import AutoencoderConfig, ModelConfig
from model_core.models import empty_model, load_files
from model_core.weights.io import read_safetensors, write_safetensors
from model_core.weights.load import load_strict

ROOT = Path(__file__).parents[1]
LIMIT = 1.3
ROWS = (
    ("float16", ".safetensors", "float16"),
    ("float16", ".safetensors", "float8_e4m3fn"),
    ("float32", ".safetensors", "float16"),
    ("float32", ".ckpt", "float16"),
)
PREFIXES = {
    "unet": "denoiser.unet.",
    "motion": "denoiser.motion.",
    "pose_guider": "pose_guider.",
    "image_encoder": "image_prompt.encoder.",
}
KL = {
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
    "latent_channels": 4,
}
_WIDTH, _DEPTH = 2048, 12


def write_files(folder: Path, dtype: torch.dtype, suffix: str) -> int:
    """Random weights of the whole SD1.5-size family; returns their bytes."""
    autoencoder = AutoencoderConfig(kind="kl", stride=8, scaling_factor=0.18215, kl=KL)
    model = empty_model(ModelConfig(name="full size", autoencoder=autoencoder))
    state = model.backbone.state_dict()
    parts = {
        name: {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        for name, prefix in PREFIXES.items()
    }
    parts["vae"] = {key.removeprefix("vae."): value for key, value in model.autoencoder.state_dict().items()}
    for name, shapes in parts.items():
        tensors = {key: (torch.randn(value.shape) * 0.02).to(dtype) for key, value in shapes.items()}
        path = folder / f"{name}{suffix}"
        if suffix == ".safetensors":
            write_safetensors(path, tensors)
        else:
            torch.save({"state_dict": tensors, "epoch": 1}, path)
    return sum(path.stat().st_size for path in folder.iterdir())


def _memory(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def measure(folder: Path, dtype: torch.dtype) -> None:
    """In a process of its own: load once; print final bytes, peak bytes above the start, and seconds."""
    start = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak of the imports is not the loader's
    began = time.perf_counter()
    model = load_files([folder], dtype=dtype)
    took = time.perf_counter() - began
    parts = (model.backbone, model.autoencoder)
    final = sum(p.numel() * p.element_size() for part in parts for p in part.parameters())
    print(final, _memory("VmHWM") - start, took)


def full_size() -> None:
    print("  whole SD1.5 family, files -> memory            files    weights   peak   ratio    time")
    for stored, suffix, dtype in ROWS:
        with tempfile.TemporaryDirectory() as name:
            written = write_files(Path(name), getattr(torch, stored), suffix)
            command = [sys.executable, "-m", "benchmarks.bench_loading", name, dtype]
            ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
            answer = ran.stdout.split()
        final, peak, took = int(answer[-3]), int(answer[-2]), float(answer[-1])
        verdict = "" if peak <= LIMIT * final else f"  OVER {LIMIT}"
        print(
            f"  {stored + suffix:<22} -> {dtype:<16} {written / 1e9:6.2f} GB {final / 1e9:6.2f} GB "
            f"{peak / 1e9:6.2f} GB {peak / final:6.2f} {took:6.1f} s{verdict}"
        )


def _network() -> torch.nn.Module:
    return torch.nn.Sequential(*(torch.nn.Linear(_WIDTH, _WIDTH) for _ in range(_DEPTH)))


def _assigned(path: Path) -> None:
    with torch.device("meta"):
        module = _network()
    load_strict(module, read_safetensors(path)[0], name=path.name)


def _copied(path: Path) -> None:
    _network().load_state_dict(read_safetensors(path)[0])


def assigned_or_copied() -> None:
    """The tensors become the parameters, against copying them into fresh ones."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_safetensors(Path(folder) / "model.safetensors", _network().state_dict())
        print(f"  {path.stat().st_size / 1e6:.0f} MB")
        for name, work in (("assigned", _assigned), ("copied", _copied)):
            print(f"  {name:<10} {seconds(lambda work=work: work(path)):.3f} s")


def main() -> None:
    assigned_or_copied()
    full_size()


if __name__ == "__main__":
    measure(Path(sys.argv[1]), getattr(torch, sys.argv[2]))
