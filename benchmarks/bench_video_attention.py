"""How full-video attention grows with the frames of a window, against the factorised variant of the paper's ablation.

One layer at the tiny model's width and at SD3.5 Medium's, forward only. Full attention multiplies (F * S)^2 pairs of
tokens, factorised F^2 * S; neither holds the pairs in memory, so what a layer adds to the memory grows with F * S.
"""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import torch

from benchmarks.timing import seconds
from model_core.backbones.dit.video_attention import VideoAttention

FRAMES = (4, 8, 16, 32)
SIZES = {"tiny, 256 places": (192, 3, 256), "SD3.5 Medium's width, 256 places": (1536, 24, 256)}


@torch.no_grad()
def main() -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    for name, (width, heads, places) in SIZES.items():
        print(f"  {name}")
        for frames in FRAMES:
            cells = []
            for kind in ("full", "factorised"):
                layer = VideoAttention(width, heads, kind).to(device)  # type: ignore[arg-type]
                tokens = torch.randn(1, frames, places, width, device=device)
                took = seconds(lambda layer=layer, tokens=tokens: layer(tokens), repeats=3)  # type: ignore[misc]
                cells.append(f"{kind} {took:8.4f} s {_memory(width, heads, places, frames, kind):6.0f} MiB")
            print(f"    {frames:3d} frames   " + "   ".join(cells))


def _memory(width: int, heads: int, places: int, frames: int, kind: str) -> float:
    """What one call adds to the memory at its peak, in MiB; on a CPU in a process of its own."""
    if torch.cuda.is_available():
        layer = VideoAttention(width, heads, kind).cuda()  # type: ignore[arg-type]
        tokens = torch.randn(1, frames, places, width, device="cuda")
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        layer(tokens)
        return float(torch.cuda.max_memory_allocated() - before) / 2**20
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_resident, (width, heads, places, frames, kind))


@torch.no_grad()
def _resident(width: int, heads: int, places: int, frames: int, kind: str) -> float:
    layer = VideoAttention(width, heads, kind)  # type: ignore[arg-type]
    layer(torch.randn(1, 2, 64, width))  # what the libraries take at their first use does not count
    tokens = torch.randn(1, frames, places, width)
    before = _peak()
    layer(tokens)
    return (_peak() - before) / 1024


def _peak() -> int:
    """The most that this process has held, in KiB; not what its parent held before it, which getrusage counts too."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
