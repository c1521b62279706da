"""The baseline of training samples: the portrait carried to the targets' own landmarks."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from model_core.training.avatars import write_identity
from model_core.training.clips import ClipDataset
from model_core.training.config import DataConfig


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("avatars")
    for seed in (1, 2, 3):
        write_identity(path, seed, frames=6, drivers=1, size=64)
    return path


def dataset(folder: Path, *, history: int = 0, **settings: float) -> ClipDataset:
    config = DataConfig(folder=str(folder), frames=2, history=history, random_scaling=False)
    config = dataclasses.replace(config, **settings)  # type: ignore[arg-type]
    return ClipDataset(config, seed=0, length=8, consecutive=history > 0, baseline=True)


def error(first: torch.Tensor, second: torch.Tensor) -> float:
    return float((first - second).square().mean())


def test_the_baseline_is_nearer_to_the_targets_than_the_portrait(folder: Path) -> None:
    items = [dataset(folder)[index] for index in range(8)]
    carried = np.mean([error(item["baseline"], item["frames"]) for item in items])
    still = np.mean([error(item["reference"][None].expand_as(item["frames"]), item["frames"]) for item in items])
    assert carried < 0.5 * still


def test_it_errs_where_it_says_that_the_portrait_shows_nothing(folder: Path) -> None:
    items = [dataset(folder)[index] for index in range(8)]
    errors = torch.cat([(item["baseline"] - item["frames"]).square().mean(1, keepdim=True) for item in items])
    validity = torch.cat([item["validity"] for item in items])
    assert validity.shape == (16, 1, 64, 64) and validity.min() >= 0 and validity.max() <= 1
    assert errors[validity < 0.3].mean() > 2 * errors[validity > 0.9].mean()


def test_colours_change_alike_in_portrait_targets_and_baseline(folder: Path) -> None:
    plain, coloured = (dataset(folder, colour_augment=share, detector_jitter=0) for share in (0, 1))
    for index in range(4):
        item = coloured[index]
        assert error(item["baseline"], item["frames"]) < 0.05
        assert error(item["reference"], plain[index]["reference"]) > 1e-3


def test_history_has_no_baseline_of_its_own(folder: Path) -> None:
    item = dataset(folder, history=1)[0]
    assert len(item["frames"]) == len(item["motion"]) == 3
    assert len(item["baseline"]) == len(item["validity"]) == len(item["weights"]) == 2
    assert error(item["baseline"], item["frames"][1:]) < error(item["baseline"], item["frames"][:2]) + 1e-4


def test_a_little_jitter_of_the_detector_hardly_shows_in_the_baseline(folder: Path) -> None:
    """Portrait and targets are found alike wrongly, so pixels still go where they belong."""
    exact, jittered = (dataset(folder, colour_augment=0, detector_jitter=share) for share in (0, 1))
    errors = [[error(data[k]["baseline"], data[k]["frames"]) for k in range(8)] for data in (exact, jittered)]
    assert np.mean(errors[1]) < 1.3 * np.mean(errors[0])
    assert any((exact[k]["motion"] - jittered[k]["motion"]).abs().max() > 0.1 for k in range(8))
