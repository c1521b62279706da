"""Samples of the matting network: the same for the same number, and alpha that explains the picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from model_core.training.clips import list_clips, write_clip
from model_core.training.matting.samples import Layers, MattingSamples, spoiled, unmixed

SIZE = 64


def write_head(path: Path, *, size: int = 256, seed: int = 0) -> None:
    """A head like a disc on shoulders, before noise."""
    rows, columns = np.mgrid[:size, :size]
    person = (np.hypot(columns - size / 2, rows - 0.45 * size) < 0.33 * size) | (rows > 0.8 * size)
    image = np.random.default_rng(seed).integers(0, 80, (size, size, 3)).astype(np.uint8)
    image[person] = (210, 170, 150)
    turns = np.arange(478) * (2 * np.pi / 478)
    face = np.stack([np.cos(turns) * 0.19, np.sin(turns) * 0.24, 0 * turns], axis=1) * size
    marks = (face + (size / 2, size / 2, 0)).astype(np.float32)
    write_clip(
        path, {"images": image[None], "foreground": (person * 255).astype(np.uint8)[None], "landmarks": marks[None]}
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("heads")
    for seed in range(2):
        write_head(made / f"{seed}.npz", seed=seed)
    return made


def samples(folder: Path, *, photos: bool = False) -> MattingSamples:
    clips = list_clips(folder)
    return MattingSamples(clips, clips if photos else [], size=SIZE, seed=3, length=100)


@pytest.mark.parametrize("photos", [False, True])
def test_a_sample_is_a_function_of_its_number(folder: Path, photos: bool) -> None:
    made = samples(folder, photos=photos)
    for number in range(8):
        first, second = made[number], made[number]
        assert first["picture"].shape == (7, SIZE, SIZE) and first["alpha"].shape == (1, SIZE, SIZE)
        for key, value in first.items():
            assert torch.isfinite(value).all() and torch.equal(value, second[key]), key
        assert 0 <= first["alpha"].min() and first["alpha"].max() <= 1
    assert not torch.equal(made[0]["picture"], made[1]["picture"])


def test_the_face_is_the_person_in_every_sample(folder: Path) -> None:
    for number in range(20):
        sample = samples(folder)[number]
        face = sample["picture"][4] > 0.5
        assert sample["alpha"][0][face].mean() > 0.95


def test_alpha_mixes_the_layers_to_the_picture() -> None:
    rng = np.random.default_rng(0)
    colours, background = (rng.uniform(0, 255, (9, 9, 3)).astype(np.float32) for _ in range(2))
    alpha = rng.uniform(0, 1, (9, 9)).astype(np.float32)
    front, share = rng.uniform(0, 255, (9, 9, 3)).astype(np.float32), rng.uniform(0, 1, (9, 9)).astype(np.float32)
    layers = Layers(colours, alpha, background)
    wanted = layers.picture() * (1 - share[..., None]) + front * share[..., None]
    np.testing.assert_allclose(layers.over(front, share).picture(), wanted, atol=0.05)


def test_colours_that_shine_through_are_taken_out() -> None:
    """A soft red disc on blue: without its background it is red to its last pixel."""
    rows, columns = np.mgrid[:64, :64]
    alpha = np.clip((20 - np.hypot(columns - 32, rows - 32)) / 6, 0, 1).astype(np.float32)
    red, blue = np.float32([200, 20, 20]), np.float32([0, 0, 255])
    picture = (blue + (red - blue) * alpha[..., None]).astype(np.uint8)
    assert abs(unmixed(picture, alpha)[alpha > 0.05] - red).max() < 8


def test_spoiling_keeps_form_and_never_changes_its_input() -> None:
    picture = np.random.default_rng(0).uniform(0, 255, (32, 32, 3)).astype(np.float32)
    before = picture.copy()
    for seed in range(8):
        made = spoiled(np.random.default_rng(seed), picture)
        assert made.shape == picture.shape and made.dtype == np.uint8
    np.testing.assert_array_equal(picture, before)
