"""Photographs as targets: carried away and back, damaged on the way, and what to restore."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from model_core.errors import InputError
from model_core.training.avatars import make_clip
from model_core.training.clips import ClipDataset, write_clip
from model_core.training.config import DataConfig, TrainConfig, load_train_config
from model_core.training.photos import photo_pairs

CONFIGS = Path(__file__).parents[2] / "model_core" / "training" / "configs"


@pytest.fixture(scope="module")
def photo() -> dict[str, np.ndarray]:
    clip = make_clip(3, frames=1, drivers=1, size=96)
    return {name: clip[name] for name in ("images", "foreground", "landmarks")}


@pytest.fixture(scope="module")
def clip() -> dict[str, np.ndarray]:
    return make_clip(5, frames=8, drivers=1, size=96)


def test_what_returns_is_the_photograph_with_damage_where_validity_says(
    photo: dict[str, np.ndarray], clip: dict[str, np.ndarray]
) -> None:
    made = photo_pairs(photo, clip["landmarks"], 6, np.random.default_rng(0))
    assert made["images"].shape == (7, 96, 96, 3) and made["baseline"].shape == (6, 96, 96, 3)
    assert all(np.array_equal(target, photo["images"][0]) for target in made["images"][1:])
    error = np.abs(made["baseline"].astype(float) - made["images"][1:]).mean(-1)
    sure, unsure = made["validity"] > 0.9, made["validity"] < 0.3
    assert 0.5 < sure.mean() and 0.005 < unsure.mean() < 0.3
    assert error[unsure].mean() > 3 * error[sure].mean()
    assert np.abs(made["images"][0].astype(float) - photo["images"][0]).mean() > 2  # the portrait has moved


def test_a_face_that_does_not_move_returns_unharmed(photo: dict[str, np.ndarray]) -> None:
    still = np.repeat(photo["landmarks"], 3, 0)
    made = photo_pairs(photo, still, 1, np.random.default_rng(0))
    sure = made["validity"][0] > 0.9
    assert np.abs(made["baseline"][0].astype(float) - photo["images"][0])[sure].mean() < 2
    assert np.abs(made["foreground"][0].astype(int) - photo["foreground"][0]).mean() < 8


def test_half_of_the_portraits_keep_their_mouths_shut(
    photo: dict[str, np.ndarray], clip: dict[str, np.ndarray]
) -> None:
    rng = np.random.default_rng(1)
    faces = np.stack([photo_pairs(photo, clip["landmarks"], 1, rng)["landmarks"][0] for _ in range(12)])
    opening = np.linalg.norm(faces[:, 14, :2] - faces[:, 13, :2], axis=1)
    assert (opening < opening.max() / 3).sum() >= 4


def test_photographs_and_clips_are_mixed(
    photo: dict[str, np.ndarray], clip: dict[str, np.ndarray], tmp_path: Path
) -> None:
    write_clip(tmp_path / "clips" / "0.npz", clip)
    write_clip(tmp_path / "photos" / "0.npz", photo)
    config = DataConfig(folder=str(tmp_path / "clips"), photos=str(tmp_path / "photos"), colour_augment=0)
    for kind in ("parsing_map", "masked_frames"):
        data = ClipDataset(config, seed=0, length=12, consecutive=False, motion_kind=kind, baseline=True)  # type: ignore[arg-type]
        items = [data[index] for index in range(12)]
        assert len({tuple(item[key].shape for key in sorted(item)) for item in items}) == 1
        of_photo = [torch.equal(item["frames"][0], item["frames"][1]) for item in items]
        assert 2 <= sum(of_photo) <= 10
        assert all((item["baseline"] - item["frames"]).abs().mean() < 0.15 for item in items)


@pytest.mark.parametrize(
    ("name", "overrides"),
    [("avatars_stage1", {"stage": 2, "data.frames": 8, "data.history": 2}), ("sd35_stage1", {})],
)
def test_photographs_teach_only_what_they_can(name: str, overrides: dict[str, int]) -> None:
    def load(photos: str | None) -> TrainConfig:
        return load_train_config(CONFIGS / f"{name}.yaml", {**overrides, "data.photos": photos})

    load(None)
    with pytest.raises(InputError, match="photographs do not move"):
        load("runs/photos")
