"""Masked frames as training draws them: whose they are, what they show, and what may be wrong with them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from model_core.motion.components import RINGS
from model_core.motion.masked_frames import masked_frames_signal
from model_core.training.avatars import write_identity
from model_core.training.clips import ClipDataset, list_clips
from model_core.training.config import DataConfig
from model_core.training.mask_faults import masked
from model_core.training.masked import masked_sample
from model_core.types import Component, FaceTrack


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
