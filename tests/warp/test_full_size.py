from __future__ import annotations

import numpy as np
import pytest

from model_core.errors import InputError
from model_core.warp import PortraitLayers
from model_core.warp.full_size import LONGEST, FullSize, output_size

from .conftest import SIZE


@pytest.mark.parametrize(
    ("portrait", "wanted", "size"),
    [
        ((1280, 721), "portrait", (1280, 721)),
        ((4096, 2048), "portrait", (LONGEST, LONGEST // 2)),
        ((300, 400), 800, (600, 800)),
        ((301, 400), 200, (150, 200)),
    ],
)
def test_the_size_of_a_result(portrait: tuple[int, int], wanted: int | str, size: tuple[int, int]) -> None:
    assert output_size(portrait, wanted) == size  # type: ignore[arg-type]


@pytest.mark.parametrize("wanted", [0, -5, 10**6, "model", "huge"])
def test_a_size_that_no_video_has_is_refused(wanted: int | str) -> None:
    with pytest.raises(InputError, match="size"):
        output_size((300, 400), wanted)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def whole(picture: np.ndarray, portrait: np.ndarray) -> FullSize:
    """The model sees a window of the portrait at half its size."""
    left, top, side = 40, 30, 176
    everyone = np.ones((SIZE, SIZE), np.float32)
    small = picture[top : top + side, left : left + side].reshape(88, 2, 88, 2, 3).mean(axis=(1, 3))
    marks = (portrait - (left, top, 0)) / 2
    framed = PortraitLayers.of(small.round().astype(np.uint8), marks, np.ones((88, 88), np.float32))
    return FullSize.of(picture, portrait, everyone, window=(left, top, side, side), framed=framed, size=(SIZE, SIZE))


def test_landmarks_of_the_models_frame_are_found_again(whole: FullSize, portrait: np.ndarray) -> None:
    framed = (portrait - (40, 30, 0)) / 2
    np.testing.assert_allclose(whole.landmarks(framed), portrait, atol=1e-9)


def test_a_network_that_changes_nothing_leaves_the_carried_portrait(whole: FullSize, portrait: np.ndarray) -> None:
    framed = ((portrait + (4, 2, 0)) - (40, 30, 0))[None] / 2
    carried = whole.framed.layers.carry(framed).frames
    (alone,), (with_it,) = whole.frames(framed, None), whole.frames(framed, carried)
    assert np.abs(alone.astype(int) - with_it).mean() < 0.6
    inside = whole.layers.carry(whole.landmarks(framed)).validity[0] > 0.99
    np.testing.assert_array_equal(alone[inside], with_it[inside])


def test_a_change_shows_inside_the_window_and_fades_at_its_border(whole: FullSize, portrait: np.ndarray) -> None:
    framed = (portrait - (40, 30, 0))[None] / 2
    brighter = np.clip(whole.framed.layers.carry(framed).frames.astype(int) + 20, 0, 255).astype(np.uint8)
    (alone,), (changed,) = whole.frames(framed, None), whole.frames(framed, brighter)
    change = changed.astype(int) - alone
    middle = change[100:150, 100:150]
    assert 17 <= np.median(middle) <= 20
    np.testing.assert_array_equal(change[:25], 0)
    edge = change[118, 40:56, 0]
    assert edge[0] <= 2 and (np.diff(edge.astype(float)) > -3).all() and edge[-1] > 14


def test_faint_noise_of_the_network_is_left_out_where_the_portrait_is_known(
    whole: FullSize, portrait: np.ndarray
) -> None:
    framed = (portrait - (40, 30, 0))[None] / 2
    noise = np.random.default_rng(0).normal(0, 2.5, (1, 88, 88, 3))
    noisy = np.clip(whole.framed.layers.carry(framed).frames + noise, 0, 255).round().astype(np.uint8)
    (alone,), (made,) = whole.frames(framed, None), whole.frames(framed, noisy)
    assert np.abs(made.astype(int) - alone).mean() < 0.25 * np.abs(noise).mean()
