"""Cases of prepared clips: exact truth, the portrait first, and photographs carried as training carries them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from model_core.errors import InputError
from model_core.evaluation.methods import Variant, by_model, exact, faulty
from model_core.evaluation.prepared import head_cases, photo_cases, prepared_clips
from model_core.images import to_float
from model_core.models import PortraitModel
from model_core.pipeline import FinishedChunk, PortraitReference, carry_reference
from model_core.sampling import Chunk
from model_core.training.avatars import make_clip
from model_core.training.clips import write_clip
from model_core.training.photos import photo_pairs
from model_core.types import MotionSignal

SIZE = (64, 64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips with drivers, one without, and two photographs, all drawn."""
    folder = tmp_path_factory.mktemp("prepared")
    for seed in range(2):
        clip = make_clip(seed, frames=6, drivers=1, pictured=1, size=64)
        write_clip(folder / "heads" / f"{seed}.npz", {**clip, "portraits": np.arange(2)})
        own = {name: clip[name] for name in ("images", "foreground", "landmarks")}
        write_clip(folder / "alone" / f"{seed}.npz", own)
        write_clip(folder / "photos" / f"{seed}.npz", {name: values[:1] for name, values in own.items()})
    return folder


def sized(model: PortraitModel) -> PortraitModel:
    return dataclasses.replace(model, config=dataclasses.replace(model.config, size=SIZE))


def test_a_head_s_portrait_comes_first_and_its_performance_is_the_truth(folder: Path) -> None:
    clips = prepared_clips(folder / "heads", size=SIZE, limit=0, option="--heads")
    first, second = head_cases(clips, frames=3)
    clip = clips[0].load()
    assert (first.name, second.name) == ("0", "1")
    assert torch.equal(first.reference, to_float(clip["images"][:1]))
    assert torch.equal(first.target, to_float(clip["images"][2:5]))
    assert np.array_equal(first.driving.landmarks, clip["driving_landmarks"][0][[0, 2, 3, 4]])
    assert torch.equal(first.frames, to_float(clip["driving_images"][0][[0, 2, 3, 4]]))


def test_motion_is_the_truth_s_own_and_masks_show_the_driver(
    folder: Path, tiny_model: PortraitModel, tiny_dit: PortraitModel
) -> None:
    (case, _) = head_cases(prepared_clips(folder / "heads", size=SIZE, limit=0, option="--heads"), frames=3)
    drawn, masked = exact(sized(tiny_model), case), exact(sized(tiny_dit), case)
    for signal in (drawn, masked):
        assert np.array_equal(signal.landmarks, case.landmarks)
    own = exact(sized(tiny_dit), dataclasses.replace(case, frames=torch.cat([case.reference, case.target])))
    assert (masked.frames - own.frames).abs().mean() > 0.005
    clean = faulty(exact)(sized(tiny_dit), case)
    assert (clean.frames - masked.frames).abs().mean() < 0.002


def test_without_a_driver_somebody_else_performs_the_truth(folder: Path) -> None:
    (case, _) = head_cases(prepared_clips(folder / "alone", size=SIZE, limit=0, option="--heads"), frames=2)
    assert np.array_equal(case.driving.landmarks[1:], case.landmarks)
    assert (case.frames[1:] - case.target).abs().mean() > 0.02


def test_photographs_are_carried_as_training_carries_them(
    folder: Path, tiny_model: PortraitModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the network, what comes out is training's own baseline, and its damage is what the network is told."""
    photos, heads = (
        prepared_clips(folder / name, size=SIZE, limit=0, option=f"--{name}") for name in ("photos", "heads")
    )
    cases = list(photo_cases(photos, heads, views=2))
    assert [case.name for case in cases] == ["0", "0", "1", "1"]
    rng = np.random.default_rng([77, 0, 0])
    moves = heads[int(rng.integers(2))].load(driver=False)["landmarks"]
    pair = photo_pairs(photos[0].load(), moves, 1, rng)
    assert torch.equal(cases[0].target, to_float(photos[0].load()["images"]))
    model = sized(tiny_model)
    sampling = dataclasses.replace(model.config.sampling, steps=0)
    told = {}

    def keep(
        model: PortraitModel, reference: PortraitReference, motion: MotionSignal, settings: object, **_: object
    ) -> Iterator[FinishedChunk]:
        told["carried"] = carry_reference(model, reference, motion)
        yield FinishedChunk(Chunk(0, 1), torch.zeros(1, 1, 48, 16, 16), iter(np.zeros((1, 64, 64, 3), np.uint8)))

    made = by_model(model, sampling, exact)(cases[0])
    assert (made - to_float(pair["baseline"])).abs().max() < 1e-5
    monkeypatch.setattr("model_core.evaluation.methods.animate", keep)
    by_model(model, sampling, exact)(cases[0])
    assert np.array_equal(told["carried"].validity.numpy(), pair["validity"])


def test_clips_of_another_size_or_of_one_frame_are_told(folder: Path) -> None:
    with pytest.raises(InputError, match="--heads .*0.npz: frames of 64x64, the models make 32x32"):
        prepared_clips(folder / "heads", size=(32, 32), limit=0, option="--heads")
    photos = prepared_clips(folder / "photos", size=SIZE, limit=0, option="--heads")
    with pytest.raises(InputError, match="a clip of one frame does not move"):
        list(head_cases(photos, frames=2))


def test_a_row_knows_where_its_chunks_begin(tiny_model: PortraitModel) -> None:
    sampling = dataclasses.replace(tiny_model.config.sampling, window=2, overlap=1, chunk=3)
    assert Variant(tiny_model, sampling).seams(8) == [2, 5]  # the pipeline makes chunks of about one length
    assert Variant(tiny_model, sampling).seams(3) == []
