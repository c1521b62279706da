"""What is measured against the ground truth is made of the frames that the truth shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from model_core.evaluation.cases import Case, held_out_cases
from model_core.evaluation.methods import faulty, methods_of, placed
from model_core.images import to_float
from model_core.models import PortraitModel
from model_core.pipeline import FinishedChunk
from model_core.sampling import Chunk
from model_core.training.avatars import HELD_OUT_SEED, make_clip


@pytest.fixture(scope="module")
def case() -> Case:
    """Five frames, each of which differs from the others."""
    (made,) = held_out_cases(1, 5, (64, 64))
    return made


def sized(model: PortraitModel, size: int = 64) -> PortraitModel:
    return dataclasses.replace(model, config=dataclasses.replace(model.config, size=(size, size)))


def apart(made: Tensor, truth: Tensor) -> Tensor:
    """(F, F), every frame made against every frame of the truth."""
    return (made[:, None] - truth[None]).abs().flatten(2).mean(dim=2)


def test_a_frame_is_made_for_the_very_frame_it_is_measured_against(case: Case, tiny_model: PortraitModel) -> None:
    """The driver's face, put on the portrait's, comes closest to what the truth does in the same frame."""
    clip = make_clip(HELD_OUT_SEED, frames=6, drivers=1, pictured=1, size=64)
    assert torch.equal(case.target, to_float(clip["images"][1:]))
    signal = placed("retarget")(sized(tiny_model), case)
    assert signal.landmarks is not None
    found = apart(*(torch.from_numpy(points[..., :2]) for points in (signal.landmarks, clip["landmarks"][1:])))
    earlier, same, later = (found.diagonal(shift).mean() for shift in (-1, 0, 1))
    assert same < 0.7 * min(earlier, later) and same < 0.5, found  # pixels of 64


@pytest.mark.parametrize("placing", ["retarget", "relative", "absolute"])
def test_every_placing_leaves_out_the_reference_s_own_frame(
    case: Case, tiny_model: PortraitModel, placing: str
) -> None:
    model = sized(tiny_model)
    signal = placed(placing)(model, case)  # type: ignore[arg-type]
    again = dataclasses.replace(case, driving=case.driving.take([0, 3, 3, 3, 3, 3]))
    still = placed(placing)(model, again)  # type: ignore[arg-type]
    assert len(signal) == len(still) == 5
    assert still.landmarks is not None and signal.landmarks is not None
    torch.testing.assert_close(torch.from_numpy(still.landmarks[0]), torch.from_numpy(signal.landmarks[2]))
    torch.testing.assert_close(still.frames[4], signal.frames[2])


def test_masks_without_a_fault_are_those_of_the_pipeline(case: Case, tiny_dit: PortraitModel) -> None:
    model = sized(tiny_dit)
    plain, spoilt = placed("retarget")(model, case), faulty()(model, case)
    assert plain.frames.shape == spoilt.frames.shape and plain.frames.amax(dim=(1, 2, 3)).min() > 0.3
    found = apart(spoilt.frames, plain.frames)
    assert found.argmin(dim=1).tolist() == list(range(5)) and found.diagonal().max() < 0.002, found
    for fault in ("jitter", "missing", "occluded"):
        assert (faulty(**{fault: True})(model, case).frames - spoilt.frames).abs().mean() > 1e-3, fault


def test_each_method_leaves_out_what_its_name_says(
    case: Case, tiny_model: PortraitModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, seen = sized(tiny_model), {}
    sampling = dataclasses.replace(model.config.sampling, window=3, overlap=1)

    def keep(
        model: PortraitModel, reference: object, signal: object, settings: object, **_: object
    ) -> Iterator[object]:
        seen[name] = settings
        yield FinishedChunk(Chunk(0, 5), torch.zeros(1, 5, 48, 16, 16), iter(np.zeros((5, 64, 64, 3), np.uint8)))

    monkeypatch.setattr("model_core.evaluation.methods.animate", keep)
    for name, method in methods_of(model, sampling).items():  # noqa: B007 - `keep` reads it
        assert method(case).shape == (5, 3, 64, 64)
    assert seen == {
        "without the network": dataclasses.replace(sampling, steps=0),
        "tiny": sampling,
        "with relative alignment": sampling,
        "without cyclic overlap": dataclasses.replace(sampling, cyclic=False, overlap=0),
        "without history": dataclasses.replace(sampling, history=0),
    }
