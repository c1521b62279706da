"""Masked frames as training draws them: whose they are, what they show, and what may be wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from model_core.motion.components import RINGS
from model_core.motion.masked_frames import masked_frames_signal
from model_core.training.avatars import write_identity
from model_core.training.clips import ClipDataset, list_clips, write_clip
from model_core.training.config import DataConfig
from model_core.training.mask_faults import masked
from model_core.training.masked import masked_sample
from model_core.training.prepare import prepare_folder
from model_core.training.strangers import stranger_frames
from model_core.types import Component, FaceTrack
from model_core.video.write import VideoWriter


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("avatars")
    for seed in (1, 2):
        write_identity(path, seed, frames=4, drivers=2, pictured=1, size=64)
    return path


def dataset(folder: Path, **settings: float) -> ClipDataset:
    plain = {"cross_identity": 0, "detector_jitter": 0, "colour_augment": 0, "driver_colours": 0}
    config = DataConfig(folder=str(folder), frames=2, **{**plain, "mask_faults": 0, **settings})  # type: ignore[arg-type]
    return ClipDataset(config, seed=0, length=8, consecutive=False, motion_kind="masked_frames")


def test_an_avatars_drivers_have_pictures(folder: Path) -> None:
    clip = list_clips(folder)[0].load()
    assert clip["driving_images"].shape == (1, 4, 64, 64, 3) and clip["driving_landmarks"].shape[0] == 2
    assert np.abs(clip["driving_images"][0].astype(int) - clip["images"]).mean() > 5


def test_by_itself_a_portrait_shows_its_own_pixels_under_the_mask(folder: Path) -> None:
    item = dataset(folder)[0]
    shown = item["motion"] > 0.05
    assert 0.01 < shown.float().mean() < 0.3
    own = (item["frames"] + 1) / 2
    assert (item["motion"] <= own + 1e-5).all()
    assert ((item["motion"] - own).abs() < 0.02)[shown].float().mean() > 0.5
    assert item["reference_motion"].shape == (3, 64, 64)


def test_another_identity_drives(folder: Path) -> None:
    alone, other = dataset(folder)[0], dataset(folder, cross_identity=1)[0]
    assert torch.equal(alone["frames"], other["frames"])
    assert (alone["motion"] - other["motion"]).abs().max() > 0.1


def test_another_identitys_features_lie_on_the_targets(folder: Path) -> None:
    """Carried, the driver's eyes and mouth are lit where the target's own are, not where the driver had them."""
    config = DataConfig(folder=str(folder), frames=2, cross_identity=1, driver_colours=0, mask_faults=0)
    clip = list_clips(folder)[0].load()
    clip["driving_images"] = np.full_like(clip["driving_images"], 60)
    clip["driving_landmarks"][..., :2] += (6, -5)  # a driver who sits elsewhere in the frame
    for image, face in zip(clip["driving_images"][0], clip["driving_landmarks"][0], strict=True):
        cv2.fillPoly(image, [face[list(RINGS[Component.LEFT_EYE]), :2].astype(np.int32)], (255, 255, 255))
    shown = masked_sample(clip, [0, 1, 2], clip["landmarks"][:3], config, np.random.default_rng(0))
    for picture, face in zip(shown[1:], clip["landmarks"][1:3], strict=True):
        bright = np.argwhere(picture.mean(0).numpy() > 0.6)[:, ::-1].mean(0)
        wanted = face[list(RINGS[Component.LEFT_EYE]), :2].mean(0)
        assert np.abs(bright + 0.5 - wanted).max() < 1.5


DRAWS = 50


def apart(folder: Path, **settings: object) -> np.ndarray:
    """By draw, how far the driver's pixels are from the target's own, where they show, (DRAWS,)."""
    plain = {"cross_identity": 0, "detector_jitter": 0, "colour_augment": 0, "driver_colours": 0, "mask_faults": 0}
    own, other = (
        ClipDataset(
            DataConfig(folder=str(folder), frames=2, **{**plain, **settings, "cross_identity": cross}),  # type: ignore[arg-type]
            seed=0,
            length=DRAWS,
            consecutive=False,
            motion_kind="masked_frames",
        )
        for cross in (0, 1)
    )
    found = []
    for number in range(DRAWS):
        first, second = own[number], other[number]
        assert torch.equal(first["frames"], second["frames"])
        assert torch.equal(first["reference_motion"], second["reference_motion"])
        shown = first["motion"].amax(1) > 0.05
        assert shown.any() and torch.isfinite(second["motion"]).all()
        found.append(float((first["motion"] - second["motion"]).abs().amax(1)[shown].mean()))
    return np.array(found)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of two people, without pictures of their drivers."""
    path = tmp_path_factory.mktemp("alone")
    for seed in (1, 2):
        write_identity(path, seed, frames=4, drivers=1, size=64)
    return path


def test_without_a_driver_of_its_own_a_clip_is_driven_by_a_stranger(alone: Path) -> None:
    assert apart(alone).min() > 0.03


def test_where_nobody_else_is_known_the_driver_has_other_colours(alone: Path) -> None:
    assert apart(alone, limit=1).min() > 0.01


def test_a_photograph_is_driven_by_somebody_else_too(alone: Path, tmp_path: Path) -> None:
    photo = {name: part[:1] for name, part in list_clips(alone)[1].load().items() if not name.startswith("driving")}
    write_clip(tmp_path / "photos" / "0.npz", photo)
    write_clip(tmp_path / "clips" / "0.npz", list_clips(alone)[0].load())
    assert apart(tmp_path / "clips", photos=str(tmp_path / "photos"), photo_share=0.5).min() > 0.03


def test_a_prepared_triple_is_driven_by_its_driver(
    tmp_path: Path, square_frames: Callable[..., np.ndarray], square_analyzer: Any
) -> None:
    """Not by the target's own frames, and not by a stranger."""
    target, driving = square_frames(5), square_frames(5, size=128, side=64)
    target[target > 127], driving[(driving > 127).all(-1)] = 220, (140, 250, 140)
    for name, frames in (("target", target), ("driving", driving)):
        with VideoWriter(tmp_path / "clips" / "pair" / f"{name}.mp4", fps=25) as writer:
            writer.append(frames)
    prepare_folder(tmp_path / "clips", tmp_path / "ready", size=64, frames=5, analyzer=square_analyzer)
    assert apart(tmp_path / "ready").min() > 0.1
    config = DataConfig(folder=str(tmp_path / "ready"), cross_identity=1, driver_colours=0, mask_faults=0)
    shown = ClipDataset(config, seed=0, length=1, consecutive=False, motion_kind="masked_frames")[0]["motion"]
    red, green, _ = shown.amax(dim=(0, 2, 3))
    assert green > 0.9 and red < 0.7


def test_a_strangers_features_lie_on_the_targets(alone: Path) -> None:
    """Lit where the target's own eyes are, whatever the stranger's size and place."""
    clip, stranger = (file.load() for file in list_clips(alone))
    stranger["images"] = np.full_like(stranger["images"], 60)
    for image, face in zip(stranger["images"], stranger["landmarks"], strict=True):
        face[:, :2] = (face[:, :2] - 32) * 0.8 + (38, 27)
        cv2.fillPoly(image, [face[list(RINGS[Component.LEFT_EYE]), :2].astype(np.int32)], (255, 255, 255))
    made = stranger_frames(stranger, clip["landmarks"], np.random.default_rng(0))
    assert made.shape == (4, 64, 64, 3) and made.min() >= 0 and made.max() <= 1
    for picture, face in zip(made, clip["landmarks"], strict=True):
        bright = np.argwhere(picture.mean(-1) > 0.6)[:, ::-1]
        wanted = face[list(RINGS[Component.LEFT_EYE]), :2].mean(0)
        if len(bright):  # the target may blink
            assert np.abs(bright.mean(0) + 0.5 - wanted).max() < 2


@pytest.mark.parametrize("fault", ["jitter", "missing", "occluded"])
def test_every_fault_changes_the_masked_frames(folder: Path, fault: str) -> None:
    clip = list_clips(folder)[0].load()
    pixels, faces = clip["images"].astype(np.float32) / 255, clip["landmarks"]
    plain = masked(pixels, faces, np.random.default_rng(1))
    spoilt = masked(pixels, faces, np.random.default_rng(1), **{fault: True})
    assert spoilt.shape == plain.shape and spoilt.min() >= 0 and spoilt.max() <= 1
    assert (spoilt - plain).abs().amax() > 0.05


def test_without_faults_it_is_the_motion_signal_of_inference(folder: Path) -> None:
    clip = list_clips(folder)[0].load()
    faces = clip["landmarks"]
    plain = masked(clip["images"].astype(np.float32) / 255, faces, np.random.default_rng(0))
    ones = np.ones(4, np.float32)
    track = FaceTrack(np.zeros((4, 4), np.float32), faces, ones, ones.astype(bool), (64, 64))
    frames = torch.from_numpy(clip["images"]).permute(0, 3, 1, 2).float() / 127.5 - 1
    wanted = masked_frames_signal(frames, track, size=(64, 64)).frames
    torch.testing.assert_close(plain, wanted, atol=1e-3, rtol=0)
