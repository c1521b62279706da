"""Each ablation changes what its name says, and only where the model has it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from model_core.config import SamplingConfig
from model_core.evaluation.ablations import sampling_ablations, scaled, short_windows, signal_ablations
from model_core.evaluation.cases import Case, held_out_cases
from model_core.evaluation.methods import by_model, exact
from model_core.models import PortraitModel


@pytest.fixture(scope="module")
def case() -> Case:
    (made,) = held_out_cases(1, 4, (32, 32))
    return made


def test_sampling_is_changed_one_thing_at_a_time(tiny_model: PortraitModel, tiny_dit: PortraitModel) -> None:
    sampling = dataclasses.replace(tiny_model.config.sampling, steps=2, history=2)
    made = sampling_ablations(tiny_model, sampling)
    replaced = {name: variant.sampling for name, variant in made.items()}
    assert replaced["1 step"] == dataclasses.replace(sampling, steps=1) and "2 steps" not in replaced
    assert replaced["without cyclic overlap"] == dataclasses.replace(sampling, cyclic=False, overlap=0)
    assert replaced["without history"] == dataclasses.replace(sampling, history=0)
    assert replaced["identity 2, motion 2.5"] == dataclasses.replace(sampling, identity=2.0, motion=2.5)
    assert replaced["without separation"] == sampling
    assert "with factorised video attention" not in made
    assert "with factorised video attention" in sampling_ablations(tiny_dit, sampling)
    still = sampling_ablations(tiny_dit, dataclasses.replace(sampling, history=0), moving=False)
    assert not {"without history", "without cyclic overlap", "without separation"} & set(still)


def test_parts_are_switched_off_in_a_copy(case: Case, tiny_model: PortraitModel, tiny_dit: PortraitModel) -> None:
    for model, name in ((tiny_model, "without separation"), (tiny_dit, "with factorised video attention")):
        sampling = dataclasses.replace(model.config.sampling, steps=1)
        other = sampling_ablations(model, sampling)[name]
        before = by_model(model, sampling, exact)(case)
        changed = by_model(other.model, sampling, exact)(case)
        assert (changed - before).abs().max() > 1e-5, name
        torch.testing.assert_close(by_model(model, sampling, exact)(case), before, atol=0, rtol=0)


def test_random_scaling_draws_other_parts_and_carries_to_the_same_face(case: Case, tiny_model: PortraitModel) -> None:
    plain, other = exact(tiny_model, case), scaled(tiny_model, case)
    assert (plain.frames - other.frames).abs().mean() > 0.005
    assert np.array_equal(plain.landmarks, other.landmarks)


def test_motion_is_changed_by_what_drives_the_model(tiny_model: PortraitModel, tiny_dit: PortraitModel) -> None:
    drawn, masked = (set(signal_ablations(model, model.config.sampling)) for model in (tiny_model, tiny_dit))
    both = {"driven by another face", "with relative alignment"}
    faults = {"with jittering masks", "with masks missing parts", "with something in front"}
    assert drawn == both | {"with random scaling"} and masked == both | faults


@pytest.mark.parametrize("frames", [1, 2, 4, 8, 24])
def test_short_windows_overlap_and_meet(frames: int) -> None:
    short = short_windows(SamplingConfig(), frames)
    assert 0 < short.overlap < short.window <= max(frames, 2) and short.chunk >= short.window
    if frames >= 4:
        assert short.chunk < frames
