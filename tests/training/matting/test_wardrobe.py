"""What heads are dressed in: where it lies, and that the face stays free."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.random import Generator, default_rng

from model_core.training.matting.wardrobe import Sitter, big_hair, coat, hand, hat, hood, strands

SIZE = 128


@pytest.fixture(scope="module")
def sitter() -> Sitter:
    turns = np.arange(478) * (2 * np.pi / 478)
    return Sitter.of((SIZE, SIZE), np.stack([64 + 16 * np.cos(turns), 60 + 20 * np.sin(turns)], axis=1))


@pytest.mark.parametrize("garment", [big_hair, coat, hand, hat, hood])
def test_a_garment_is_an_alpha_and_a_function_of_its_generator(
    garment: Callable[[Generator, Sitter], np.ndarray], sitter: Sitter
) -> None:
    for seed in range(10):
        first, second = (garment(default_rng(seed), sitter) for _ in range(2))
        assert first.shape == (SIZE, SIZE)
        assert first.min() >= 0 and first.max() <= 1
        assert first.mean() > 0.003
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("garment", [big_hair, coat, hat, hood])
def test_the_middle_of_the_face_stays_free(garment: Callable[[Generator, Sitter], np.ndarray], sitter: Sitter) -> None:
    for seed in range(10):
        assert garment(default_rng(seed), sitter)[58:70, 60:68].max() < 0.05


def test_a_hat_sits_above_the_eyes_and_a_coat_below_the_chin(sitter: Sitter) -> None:
    for seed in range(10):
        assert hat(default_rng(seed), sitter)[70:].max() == 0
        dressed = coat(default_rng(seed), sitter)
        assert dressed[:75].max() == 0 and dressed[-1].mean() > 0.5


def test_strands_grow_out_of_the_person_and_beyond(sitter: Sitter) -> None:
    person = sitter.face()
    hairs = strands(default_rng(0), sitter, person)
    assert hairs[person == 0].sum() > 10
    assert strands(default_rng(0), sitter, np.zeros_like(person)).max() == 0
