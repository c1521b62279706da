"""What a run will cost, before it runs: network calls exactly, memory roughly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ..config import ModelConfig, SamplingConfig
from ..types import LatentSpec
from .guidance import SignalFusion
from .history import Chunk, plan_chunks
from .windows import make_windows

# Live activations of one window, in tensors of the first level's size: SD1.5 on 16 frames of 512 x 512 in
# float16, with diffusers' attention, peaks at about this many.
_LIVE_TENSORS = 120
_FLOAT32 = 4
_CLIP_LATENTS = 5  # noise, latents, the scaled ones, the blended prediction, the scheduler's own


@dataclass(frozen=True)
class RunPlan:
    """What the sampling loop will do.

    Attributes:
        chunks: how often the loop runs.
        windows: windows denoised over all chunks and steps.
        network_calls: passes through the denoiser, one for each branch of each window.
        chunk_frames: frames of the longest chunk.
        frames_at_once: most frames in one pass, history included; 0 where the network does not run (no steps).
    """

    chunks: int
    windows: int
    network_calls: int
    chunk_frames: int
    frames_at_once: int


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes: the networks' weights, one pass' activations, and what the clip itself takes while it is sampled."""

    weights: int
    activations: int
    clip: int

    @property
    def total(self) -> int:
        return self.weights + self.activations + self.clip


def plan_run(num_frames: int, sampling: SamplingConfig, *, history: int = 0) -> RunPlan:
    """Count what ``pipeline.sample_chunks`` will do, without running it. ``denoise`` changes no count.

    Args:
        num_frames: of the clip, >= 1.
        sampling: as the pipeline takes it.
        history: finished frames given to the first chunk.
    """
    windows = make_windows(sampling)
    guidance = SignalFusion(
        identity=sampling.identity,
        motion=sampling.motion,
        continuity=sampling.continuity,
        start=sampling.guidance_start,
        end=sampling.guidance_end,
    )
    chunks = plan_chunks(num_frames, max(sampling.chunk, sampling.window))
    passes, calls, at_once, before = 0, 0, 0, history
    for chunk in chunks:
        frames = len(chunk)
        for step in range(sampling.steps):
            parts = windows.windows(step, frames)
            passes += len(parts)
            calls += sum(
                len(guidance.coefficients(step, sampling.steps, has_history=before > 0 and part.frames[0] == 0))
                for part in parts
            )
        if sampling.steps:
            at_once = max(at_once, min(sampling.window, frames) + before)
        before = min(sampling.history, frames)
    return RunPlan(len(chunks), passes, calls, max(len(chunk) for chunk in chunks), at_once)


def count_windows(chunks: Sequence[Chunk], sampling: SamplingConfig) -> int:
    """Windows that will be denoised over some chunks and all their steps."""
    windows = make_windows(sampling)
    lengths = Counter(len(chunk) for chunk in chunks)  # of thousands of chunks, one or two
    steps = range(sampling.steps)
    return sum(count * len(windows.windows(step, frames)) for frames, count in lengths.items() for step in steps)


def activation_memory(config: ModelConfig, spec: LatentSpec, *, frames: int, itemsize: int) -> int:
    """Bytes that one pass of the denoiser over some frames needs at its peak, roughly.

    Args:
        spec: of the model's latents.
        itemsize: bytes of one number in the model's type.
    """
    return frames * _positions(config, spec) * max(spec.channels, spec.width) * itemsize * _LIVE_TENSORS


def estimate_memory(
    config: ModelConfig, spec: LatentSpec, plan: RunPlan, *, itemsize: int, weights: int
) -> MemoryEstimate:
    """The memory of a planned run on the compute device, roughly.

    Args:
        weights: bytes of the networks.
    """
    positions = _positions(config, spec)
    latents = plan.chunk_frames * positions * spec.channels * _FLOAT32 * _CLIP_LATENTS
    signal = (
        plan.chunk_frames
        * itemsize
        * (3 * config.size[0] * config.size[1] + positions * max(spec.channels, spec.width))
    )
    activations = activation_memory(config, spec, frames=plan.frames_at_once, itemsize=itemsize)
    return MemoryEstimate(weights, activations, latents + signal)


def _positions(config: ModelConfig, spec: LatentSpec) -> int:
    return (config.size[0] // spec.stride) * (config.size[1] // spec.stride)
