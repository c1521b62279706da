"""Fair timings: warmed up, synchronised, the median of several, with the machine named."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable

import diffusers
import torch


def machine() -> str:
    """The hardware and versions that a timing belongs to."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no CUDA"
    hardware = f"{platform.machine()}, {torch.get_num_threads()} threads, {gpu}"
    python = platform.python_version()
    return f"{hardware}; Python {python}, torch {torch.__version__}, diffusers {diffusers.__version__}"


def seconds(work: Callable[[], object], *, repeats: int = 5, warmups: int = 1) -> float:
    """Median time of one call in seconds; whatever CUDA still does is waited for."""
    for _ in range(warmups):
        work()
    times = []
    for _ in range(repeats):
        _synchronise()
        started = time.perf_counter()
        work()
        _synchronise()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
