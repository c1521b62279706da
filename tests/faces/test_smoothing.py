from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_core.errors import InputError
from model_core.faces.smoothing import one_euro, smooth_track
from model_core.types import FaceTrack

numbers = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=12)


@given(st.floats(-1e4, 1e4), st.integers(1, 20))
def test_what_stands_still_stays(value: float, count: int) -> None:
    assert np.array_equal(one_euro(np.full((count, 2), value)), np.full((count, 2), value))


@given(numbers)
def test_the_result_stays_within_the_values(values: list[float]) -> None:
    made = one_euro(np.array(values))
    assert made.shape == (len(values),)
    assert made.min() >= min(values) - 1e-9 and made.max() <= max(values) + 1e-9


@given(numbers)
def test_zero_phase_does_not_know_the_direction_of_time(values: list[float]) -> None:
    np.testing.assert_allclose(one_euro(np.array(values[::-1])), one_euro(np.array(values))[::-1], atol=1e-9)


def test_jitter_is_calmed() -> None:
    noise = np.random.default_rng(0).normal(0, 0.002, 200)
    calmed = one_euro(1.0 + noise)
    assert np.diff(calmed).std() < 0.4 * np.diff(noise).std()


def test_a_blink_passes() -> None:
    blink = np.concatenate([np.zeros(10), [0.05, 0.15, 0.15, 0.05], np.zeros(10)])
    made = one_euro(blink)
    assert made.max() > 0.7 * blink.max()
    assert abs(int(made.argmax()) - 11) <= 1


def test_a_steady_movement_lags_only_without_zero_phase() -> None:
    ramp = np.arange(60) * 0.01
    middle = slice(25, 35)
    assert np.abs(one_euro(ramp) - ramp)[middle].max() < 1e-4
    assert (one_euro(ramp, zero_phase=False) < ramp - 1e-3)[middle].all()


def test_the_track_is_smoothed_alike_at_every_resolution() -> None:
    landmarks = np.random.default_rng(0).uniform(0, 100, (6, 478, 3)).astype(np.float32)
    boxes = np.tile(np.float32([0, 0, 100, 100]), (6, 1))
    tracks = [
        FaceTrack(boxes * s, landmarks * s, np.ones(6, np.float32), np.ones(6, bool), (int(100 * s),) * 2)
        for s in (1, 4)
    ]
    small, large = (smooth_track(track) for track in tracks)
    np.testing.assert_allclose(large.landmarks, small.landmarks * 4, rtol=1e-4, atol=1e-3)
    assert small.landmarks.dtype == np.float32
    assert np.abs(np.diff(small.landmarks, axis=0)).mean() < np.abs(np.diff(landmarks, axis=0)).mean()
    np.testing.assert_allclose(small.boxes, boxes, atol=1e-4)
    maps = np.zeros((6, 10, 10), np.uint8)
    assert smooth_track(replace(tracks[0], label_maps=maps)).label_maps is maps  # parsed pixels are no landmarks


def test_blendshapes_are_calmed_and_stay_within_their_range() -> None:
    landmarks, boxes = np.zeros((20, 478, 3), np.float32), np.tile(np.float32([0, 0, 100, 100]), (20, 1))
    trembling = np.tile(np.float32([0.0, 0.02]), 10)[:, None].repeat(51, axis=1)
    trembling[10:] += 0.98  # a blink's speed
    track = FaceTrack(boxes, landmarks, np.ones(20, np.float32), np.ones(20, bool), (100, 100), blendshapes=trembling)
    made = smooth_track(track).blendshapes
    assert made is not None and made.dtype == np.float32 and 0 <= made.min() and made.max() <= 1
    assert np.abs(np.diff(made[:8], axis=0)).max() < 0.01
    assert made[9, 0] < 0.2 and made[10, 0] > 0.8
    assert smooth_track(replace(track, blendshapes=None)).blendshapes is None


def test_poses_are_calmed_too() -> None:
    landmarks, boxes = np.zeros((20, 478, 3), np.float32), np.tile(np.float32([0, 0, 100, 100]), (20, 1))
    trembling = np.tile(np.float32([0.0, 0.02]), 10)[:, None].repeat(3, axis=1)
    track = FaceTrack(boxes, landmarks, np.ones(20, np.float32), np.ones(20, bool), (100, 100), poses=trembling)
    made = smooth_track(track).poses
    assert made is not None and np.abs(np.diff(made, axis=0)).max() < 0.01


def test_bad_settings_are_named() -> None:
    with pytest.raises(InputError, match="fps 0"):
        one_euro(np.zeros(3), fps=0)
