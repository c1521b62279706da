"""The estimate counts what the real loop then does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from types import SimpleNamespace

import pytest
import torch

from model_core.config import ModelConfig, SamplingConfig, ScheduleConfig
from model_core.pipeline import PortraitReference
from model_core.sampling.estimate import activation_memory, count_windows, estimate_memory, plan_run
from model_core.sampling.history import plan_chunks
from model_core.types import HistoryFrames, LatentSpec, MotionSignal
from tests.whole_line import all_latents

SPEC = LatentSpec(channels=2, stride=4)


@pytest.fixture
def run_for_real(make_backbone, make_conditioning):
    """``run_for_real(frames, sampling, history)``: the pipeline's own loop over chunks; its network calls."""

    def run(frames: int, sampling: SamplingConfig, history: int) -> list:
        backbone = make_backbone(ScheduleConfig(prediction_type="sample"))
        counted = []

        @dataclass
        class Counting:
            latent_spec = SPEC
            uses_baseline = False

            def prepare(self, inputs):
                return make_conditioning(len(inputs.motion), 0 if inputs.history is None else len(inputs.history))

            def predict(self, latents, timestep, conditioning, branches):
                counted.extend((len(conditioning.frames) + conditioning.num_history, branch) for branch in branches)
                return backbone.predict(latents, timestep, conditioning, branches)

        model = SimpleNamespace(
            backbone=Counting(),
            device="cpu",
            dtype=torch.float32,
            config=ModelConfig(name="counting", size=(12, 16), schedule=ScheduleConfig(prediction_type="sample")),
        )
        reference = PortraitReference(None, torch.zeros(1, 2, 3, 4), None)
        motion = MotionSignal("parsing_map", torch.zeros(frames, 3, 12, 16))
        earlier = HistoryFrames(torch.zeros(history, 2, 3, 4), torch.zeros(history, 3, 12, 16)) if history else None
        carried = torch.zeros(frames, 2, 3, 4)
        all_latents(model, reference, motion, sampling, history=earlier, initial=lambda numbers: carried[list(numbers)])
        return counted

    return run


FUSIONS = [
    {},
    {"identity": 2.0, "motion": 2.5, "continuity": 1.0},
    {"identity": 2.0, "motion": 2.5, "continuity": 2.5},
    {"identity": 1.0, "motion": 1.0, "continuity": 3.0},
    {"identity": 2.0, "guidance_start": 0.25, "guidance_end": 0.75},
]
WINDOWS = [(8, 2), (4, 3), (1, 0), (16, 4)]


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("window", WINDOWS)
def test_network_calls_are_those_of_the_real_loop(run_for_real, fusion, window):
    length, overlap = window
    for frames, chunk, carried, earlier, cyclic in product((2, 13), (6, 64), (0, 2), (0, 3), (True, False)):
        sampling = SamplingConfig(
            steps=4, window=length, overlap=overlap, chunk=chunk, history=carried, cyclic=cyclic, **fusion
        )
        plan = plan_run(frames, sampling, history=earlier)
        calls = run_for_real(frames, sampling, earlier)
        assert plan.network_calls == len(calls), (frames, sampling, earlier)
        assert plan.frames_at_once >= max(seen for seen, _ in calls)


@pytest.mark.parametrize("scheduler", ["ddim", "euler", "dpmpp_2m", "lcm", "unipc"])
@pytest.mark.parametrize("steps", [1, 7, 24])
def test_every_scheduler_makes_as_many_calls_as_steps(run_for_real, scheduler, steps):
    sampling = SamplingConfig(steps=steps, scheduler=scheduler, window=8, overlap=2)
    assert plan_run(6, sampling).network_calls == len(run_for_real(6, sampling, 0)) == steps


@pytest.mark.parametrize("scheduler", ["ddim", "euler", "dpmpp_2m", "lcm", "unipc"])
@pytest.mark.parametrize("denoise", [0.3, 0.9])
def test_a_part_of_the_schedule_makes_as_many_calls(run_for_real, scheduler, denoise):
    sampling = SamplingConfig(steps=7, scheduler=scheduler, window=8, overlap=2, chunk=8, identity=2.0, denoise=denoise)
    assert plan_run(20, sampling).network_calls == len(run_for_real(20, sampling, 0))
    assert plan_run(20, sampling) == plan_run(20, replace(sampling, denoise=1.0))


def test_without_steps_the_network_never_runs():
    plan = plan_run(20, SamplingConfig(steps=0, window=8, overlap=2, chunk=10), history=2)
    assert (plan.chunks, plan.chunk_frames) == (2, 10)
    assert (plan.windows, plan.network_calls, plan.frames_at_once) == (0, 0, 0)


def test_a_plan_speaks_of_windows_and_chunks():
    sampling = SamplingConfig(steps=2, window=8, overlap=2, chunk=10, history=3, continuity=3.0, cyclic=False)
    plan = plan_run(20, sampling)
    assert (plan.chunks, plan.chunk_frames, plan.frames_at_once) == (2, 10, 11)
    assert plan.windows == 2 * 2 * 2
    assert count_windows(plan_chunks(20, 10), sampling) == plan.windows
    assert count_windows(plan_chunks(20, 10)[1:], sampling) == plan.windows // 2
    assert count_windows(plan_chunks(20, 10), replace(sampling, steps=0)) == 0
    # one branch, and in the second chunk's first window of each step a second one, which weighs its history
    assert plan.network_calls == plan.windows + 2


def test_memory_follows_frames_type_and_weights():
    config = ModelConfig(name="big", size=(512, 512))
    spec = LatentSpec(channels=4, stride=8, width=320)
    one = activation_memory(config, spec, frames=1, itemsize=2)
    assert activation_memory(config, spec, frames=16, itemsize=2) == 16 * one
    assert activation_memory(config, spec, frames=1, itemsize=4) == 2 * one
    assert 2 * 2**30 < 16 * one < 8 * 2**30  # SD1.5, 16 frames of 512 x 512, float16: a few gigabytes
    short = estimate_memory(config, spec, plan_run(64, SamplingConfig(history=0)), itemsize=2, weights=10)
    long = estimate_memory(config, spec, plan_run(640, SamplingConfig(history=0)), itemsize=2, weights=10)
    assert short == long, "chunks bound the memory of a long clip"
    assert short.total == short.weights + short.activations + short.clip
    whole = plan_run(640, replace(SamplingConfig(), chunk=640))
    assert estimate_memory(config, spec, whole, itemsize=2, weights=10).clip == 10 * short.clip
