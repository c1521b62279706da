"""Several folders of clips in one run, clips that begin with a portrait, and samples cut out or seen in a mirror."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from model_core.errors import InputError
from model_core.training.avatars import make_clip
from model_core.training.clips import ClipDataset, write_clip
from model_core.training.config import DataConfig, load_train_config

CONFIGS = Path(__file__).parents[2] / "model_core" / "training" / "configs"
PLAIN = {"colour_augment": 0.0, "detector_jitter": 0.0, "random_scaling": False}


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Dark clips, of two sizes of folder, and bright ones."""
    clip = make_clip(0, frames=4, drivers=1, size=32)
    for name, level, count in (("dark", 40, 3), ("bright", 200, 1)):
        for number in range(count):
            write_clip(tmp_path / name / f"{number}.npz", {**clip, "images": np.full_like(clip["images"], level)})
    return tmp_path / "dark", tmp_path / "bright"


def test_folders_are_drawn_as_often_as_their_shares_say(folders: tuple[Path, Path]) -> None:
    dark, bright = map(str, folders)
    data = ClipDataset(DataConfig(folders={dark: 1.0, bright: 3.0}, **PLAIN), seed=0, length=120, consecutive=False)
    share = np.mean([float(data[index]["frames"].mean()) > 0 for index in range(120)])
    assert 0.62 < share < 0.88  # not by the number of their clips


def test_one_folder_draws_what_it_always_drew(folders: tuple[Path, Path]) -> None:
    dark = str(folders[0])
    alone, mixed = (
        ClipDataset(DataConfig(**named, **PLAIN), seed=3, length=4, consecutive=False)
        for named in ({"folder": dark}, {"folders": {dark: 2.0}})
    )
    for index in range(4):
        assert all(torch.equal(alone[index][name], mixed[index][name]) for name in alone[index])


@pytest.mark.parametrize(
    ("values", "message"),
    [({}, "either"), ({"folder": "a", "folders": {"b": 1.0}}, "either"), ({"folders": {"a": 0.0}}, "above 0")],
)
def test_what_names_no_folder_or_two_ways_is_an_error(values: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        DataConfig(**values)  # type: ignore[arg-type]


def test_the_mix_comes_from_a_file(folders: tuple[Path, Path]) -> None:
    config = load_train_config(CONFIGS / "heads_stage1.yaml", {"data.folders": {str(folders[0]): 1, "other": 3}})
    assert config.data.shares == {str(folders[0]): 0.25, "other": 0.75}
    with pytest.raises(InputError, match="'other' must be a number above 0"):
        load_train_config(CONFIGS / "heads_stage1.yaml", {"data.folders": {"other": "much"}})


def test_a_portrait_is_half_of_the_references_and_no_target(tmp_path: Path) -> None:
    clip = make_clip(0, frames=5, drivers=1, size=32)
    clip["images"] = np.arange(5, dtype=np.uint8)[:, None, None, None] * 40 + np.zeros_like(clip["images"])
    write_clip(tmp_path / "0.npz", {**clip, "portraits": np.int64([0])})
    for consecutive in (False, True):
        data = ClipDataset(
            DataConfig(folder=str(tmp_path), frames=2, **PLAIN), seed=1, length=60, consecutive=consecutive
        )
        drawn = [data[index] for index in range(60)]
        references = np.array([round((float(item["reference"].mean()) + 1) * 127.5 / 40) for item in drawn])
        targets = torch.stack([(item["frames"].mean((1, 2, 3)) + 1) * 127.5 / 40 for item in drawn]).round()
        assert 0.4 < (references == 0).mean() < 0.8 and set(references) == set(range(5))
        assert set(targets.flatten().tolist()) == {1, 2, 3, 4}
        if consecutive:
            assert (targets.diff(dim=1) == 1).all()


def test_a_mirror_turns_all_pictures_of_a_sample(folders: tuple[Path, Path]) -> None:
    write_clip(folders[0] / "0.npz", make_clip(1, frames=4, drivers=1, size=32))
    plain, turned = (
        ClipDataset(
            DataConfig(folder=str(folders[0]), limit=1, mirror=mirror, **PLAIN),
            seed=0,
            length=1,
            consecutive=False,
            baseline=True,
        )[0]
        for mirror in (0.0, 1.0)
    )
    assert set(plain) == set(turned)
    assert all(torch.equal(turned[name], plain[name].flip(-1)) for name in plain)


def test_a_cut_shows_the_face_in_all_pictures_of_a_sample(folders: tuple[Path, Path]) -> None:
    write_clip(folders[0] / "0.npz", make_clip(1, frames=4, drivers=1, size=64))
    whole, cut = (
        ClipDataset(
            DataConfig(folder=str(folders[0]), limit=1, crop=crop, **PLAIN),
            seed=0,
            length=1,
            consecutive=False,
            baseline=True,
        )[0]
        for crop in (0, 40)
    )
    assert {values.shape[-2:] for values in cut.values()} == {(40, 40)}
    windows = whole["frames"].unfold(-2, 40, 1).unfold(-2, 40, 1)
    places = (windows == cut["frames"][:, :, None, None]).flatten(-2).all(-1).all(0).all(0).nonzero()
    top, left = places[0].tolist()
    for name, values in whole.items():
        assert torch.equal(cut[name], values[..., top : top + 40, left : left + 40]), name
    assert whole["weights"][:, 2].sum() == cut["weights"][:, 2].sum() > 0  # the mouth is in it
    with pytest.raises(InputError, match="choose a smaller one"):
        ClipDataset(DataConfig(folder=str(folders[0]), limit=1, crop=80), seed=0, length=1, consecutive=False)[0]
