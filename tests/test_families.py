"""Both families through the same line: files, chunks, branches and settings, whichever network it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model_core.config import SamplingConfig
from model_core.errors import CheckpointError, InputError
from model_core.families import check_config, check_sampling
from model_core.models import FLOAT8, PortraitModel, listed_models, load_model, save_model
from model_core.types import FaceTrack
from tests.whole_line import all_frames


@pytest.fixture(params=["tiny_model", "tiny_dit"])
def model(request: pytest.FixtureRequest) -> PortraitModel:
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


def run(model: PortraitModel, make_track: Callable[..., FaceTrack], frames: int = 8, **settings: object) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    image, driving = (torch.rand(n, 3, 64, 64, generator=generator) * 2 - 1 for n in (1, frames))
    return all_frames(
        model,
        image,
        make_track(frames),
        track=make_track(1),
        sampling=dataclasses.replace(model.config.sampling, **settings),  # type: ignore[arg-type]
        framing="full",
        driving_frames=driving,
    )


def test_a_clip_of_several_chunks(model: PortraitModel, make_track: Callable[..., FaceTrack]) -> None:
    made = run(model, make_track)
    assert made.shape == (8, 3, 32, 32) and made.isfinite().all() and made.abs().max() <= 1 and made.std() > 0.01


@pytest.mark.parametrize(
    "setting", [{"identity": 2.0}, {"motion": 2.5}, {"continuity": 2.0}, {"history": 0}, {"seed": 9}]
)
def test_every_setting_counts(
    model: PortraitModel, make_track: Callable[..., FaceTrack], setting: dict[str, object]
) -> None:
    assert (run(model, make_track, **setting) - run(model, make_track)).abs().max() > 1e-4


def test_saved_found_and_loaded(model: PortraitModel, make_track: Callable[..., FaceTrack], tmp_path: Path) -> None:
    save_model(model, tmp_path / "model.safetensors", dtype=torch.float32)
    (entry,) = (entry for entry in listed_models([tmp_path]) if not entry.bundled)
    assert entry.family == model.config.family
    loaded = load_model(entry.path)
    assert loaded.config == model.config
    torch.testing.assert_close(run(loaded, make_track, frames=3), run(model, make_track, frames=3), atol=1e-4, rtol=0)


def test_two_second_order_schedulers_sample_the_transformer(
    tiny_dit: PortraitModel, make_track: Callable[..., FaceTrack]
) -> None:
    first = run(tiny_dit, make_track, steps=4)
    for scheduler in ("dpmpp_2m", "unipc"):
        made = run(tiny_dit, make_track, steps=4, scheduler=scheduler)
        assert made.isfinite().all() and (made - first).abs().max() > 1e-4


def test_a_family_that_is_not_known_is_refused_with_those_that_are(tiny_dit: PortraitModel) -> None:
    with pytest.raises(InputError, match="family 'rwkv': choose unet or dit"):
        dataclasses.replace(tiny_dit.config, family="rwkv")  # type: ignore[arg-type]


def test_windows_and_history_keep_within_the_frames_that_the_networks_know(
    tiny_model: PortraitModel, tiny_dit: PortraitModel
) -> None:
    backbone = {**tiny_dit.config.backbone, "trained_frames": 6}
    told = dataclasses.replace(tiny_dit.config, backbone=backbone)
    for config, most in ((tiny_model.config, 8), (told, 6)):
        check_config(config)
        longer = dataclasses.replace(config.sampling, window=most - 1, history=2)
        message = f"window {most - 1} with history 2: {most + 1} frames at a time, of which the networks know {most}"
        with pytest.raises(CheckpointError, match=message):
            check_config(dataclasses.replace(config, sampling=longer))
        with pytest.raises(InputError, match=message):
            check_sampling(config, longer)
    check_config(dataclasses.replace(tiny_dit.config, sampling=SamplingConfig(window=500)))  # nobody says how many
    still = {**tiny_model.config.backbone, "temporal": False}
    check_config(dataclasses.replace(tiny_model.config, backbone=still, sampling=SamplingConfig(window=500)))


@pytest.mark.parametrize(
    ("family", "settings", "message"),
    [
        ("unet", {"scheduler": "lcm", "steps": 51}, "51"),
        ("dit", {"scheduler": "ddim"}, "'ddim' cannot sample a model that predicts 'flow'"),
    ],
)
def test_what_cannot_be_sampled_is_told_before_the_faces_are_looked_for(
    tiny_model: PortraitModel, tiny_dit: PortraitModel, family: str, settings: dict[str, Any], message: str
) -> None:
    config = {"unet": tiny_model, "dit": tiny_dit}[family].config
    check_sampling(config, config.sampling)
    with pytest.raises(InputError, match=message):
        check_sampling(config, dataclasses.replace(config.sampling, **settings))


@pytest.mark.parametrize("dtype", [torch.bfloat16, FLOAT8])
def test_coarser_numbers_make_nearly_the_same(
    model: PortraitModel, make_track: Callable[..., FaceTrack], tmp_path: Path, dtype: torch.dtype
) -> None:
    save_model(model, tmp_path / "model.safetensors", dtype=torch.float32)
    coarse = load_model(tmp_path / "model.safetensors", dtype=dtype)
    assert coarse.dtype is torch.bfloat16
    stored = {p.dtype for module in coarse.backbone.large_modules for p in module.parameters()}
    assert (FLOAT8 in stored) == (dtype == FLOAT8)
    made, exact = run(coarse, make_track, frames=3), run(model, make_track, frames=3)
    assert 0 < (made - exact).abs().mean() < 0.25 * exact.std()
