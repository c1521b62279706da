"""The whole of a clip at Stable Diffusion 1.5's size: 8 frames of 512 x 512 with random weights, on what is there.

Prints the time of every stage and of a step, the share of the parts of a step, and the peak memory. On an accelerator
in bfloat16 and float16, on a processor in bfloat16 and float32 and a few steps.
"""

from __future__ import annotations

import gc
import resource
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from benchmarks.full_size import full_size_autoencoder, full_size_backbone
from model_core.backbones.base import AnimationInputs
from model_core.backbones.unet import networks
from model_core.config import ScheduleConfig
from model_core.sampling import CyclicOverlap, SignalFusion, initial_noise, make_scheduler, sample
from model_core.types import MotionSignal, ReferenceInputs, StepEvent

SIZE, FRAMES, GUIDANCE = 512, 8, 3.5
STEPS = {"cpu": 2, "cuda": 20}
PARTS = {  # functions of networks.py
    "residual_layer": "residual layers",
    "enter_transformer": "spatial attention",
    "finish_transformer": "spatial attention",
    "temporal_layer": "temporal layers",
    "upsample": "upsampling",
}


def main() -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for dtype in (torch.bfloat16, torch.float16 if device.type == "cuda" else torch.float32):
        print(f"  {device.type}, {str(dtype).removeprefix('torch.')}")
        animate(device, dtype, STEPS[device.type])
        gc.collect()


@torch.no_grad()
def animate(device: torch.device, dtype: torch.dtype, steps: int) -> None:
    """Run every stage once; the accelerator's first, slower step is left out of the time per step."""
    backbone = full_size_backbone(device, dtype)
    autoencoder = full_size_autoencoder(device, torch.bfloat16 if dtype == torch.float16 else dtype)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds: Counter[str] = Counter()
    image = (torch.rand(1, 3, SIZE, SIZE, device=device) * 2 - 1).to(dtype)
    motion = MotionSignal("parsing_map", torch.rand(FRAMES, 3, SIZE, SIZE, device=device, dtype=dtype))
    with _timed(seconds, "encode the portrait", device):
        latents = autoencoder.encode(image.to(autoencoder.vae.dtype)).to(dtype)
    with _timed(seconds, "reference (CLIP, ReferenceNet)", device):
        reference = backbone.encode_reference(ReferenceInputs(image, latents))
    with _timed(seconds, "motion (PoseGuider)", device):
        conditioning = backbone.prepare(AnimationInputs(reference, motion))
    moments: list[float] = []

    def observe(event: StepEvent) -> None:
        if event.step_done:
            _wait(device)
            moments.append(time.perf_counter())

    with _watched_parts(device) as parts:
        _wait(device)
        started = time.perf_counter()
        clean = sample(
            backbone,
            conditioning,
            initial_noise((1, FRAMES, 4, SIZE // 8, SIZE // 8), seed=0).to(device, dtype),
            scheduler=make_scheduler(ScheduleConfig(), "ddim"),
            steps=steps,
            windows=CyclicOverlap(FRAMES, 0),
            guidance=SignalFusion(identity=GUIDANCE, motion=GUIDANCE),
            observer=observe,
        )
    with _timed(seconds, f"decode {FRAMES} frames", device):
        autoencoder.decode(clean[0].to(autoencoder.vae.dtype))
    first, later = moments[0] - started, [b - a for a, b in zip(moments, moments[1:], strict=False)]
    _report(seconds, parts, first=first, step=sum(later) / max(len(later), 1), steps=steps, device=device)


def _report(
    seconds: Counter[str], parts: Counter[str], *, first: float, step: float, steps: int, device: torch.device
) -> None:
    for name, taken in seconds.items():
        print(f"    {name:<32} {taken:8.2f} s")
    print(f"    {'first step':<32} {first:8.2f} s")
    print(f"    {f'a step after it (of {steps})':<32} {step:8.2f} s")
    total = first + step * (steps - 1)
    parts["the rest"] = total - sum(parts.values())
    print("    of all steps: " + ", ".join(f"{name} {taken / total:.0%}" for name, taken in parts.most_common()))
    peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else _peak_of_process()
    print(f"    peak memory {peak / 2**30:.2f} GiB")


def _peak_of_process() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@contextmanager
def _watched_parts(device: torch.device) -> Iterator[Counter[str]]:
    """Sums up the seconds spent in the functions of ``PARTS``; an accelerator is not waited for until the end."""
    marks: dict[str, list[tuple[Any, Any]]] = defaultdict(list)
    taken: Counter[str] = Counter()
    plain = {name: getattr(networks, name) for name in PARTS}

    def watched(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            began = _mark(device)
            made = work(*args, **kwargs)
            marks[PARTS[name]].append((began, _mark(device)))
            return made

        return run

    for name, work in plain.items():
        setattr(networks, name, watched(name, work))
    try:
        yield taken
    finally:
        for name, work in plain.items():
            setattr(networks, name, work)
    _wait(device)
    for name, pairs in marks.items():
        for began, ended in pairs:
            taken[name] += began.elapsed_time(ended) / 1000 if device.type == "cuda" else ended - began


def _mark(device: torch.device) -> Any:
    if device.type != "cuda":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


@contextmanager
def _timed(seconds: Counter[str], name: str, device: torch.device) -> Iterator[None]:
    _wait(device)
    started = time.perf_counter()
    yield
    _wait(device)
    seconds[name] += time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
