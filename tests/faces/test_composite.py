"""The animated face in a full frame: in its place between the pixels, soft, in its colours, the rest untouched."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.faces.colours import ColourMatch
from model_core.faces.composite import composite, face_mask
from model_core.geometry import Placement, soft_ends


def noise(height: int, width: int, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def smooth(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width] + 0.5
    y, x = y / height, x / width
    return np.stack([200 * x + 20, 200 * y + 20, 120 + 60 * np.sin(4 * x + 3 * y)], axis=-1).astype(np.uint8)


@settings(max_examples=40, deadline=None)
@given(
    left=st.integers(-40, 90),
    top=st.integers(-40, 60),
    width=st.integers(8, 160),
    height=st.integers(8, 160),
    seed=st.integers(0, 9),
)
def test_outside_the_mask_the_frame_stays_bit_for_bit(left, top, width, height, seed):
    frame, picture = noise(90, 120), noise(32, 32, seed=seed)
    place = Placement.of_window((left, top, width, height), (32, 32))
    ends = soft_ends(32, low=True, high=True, width=3, still=0.5)
    soft = np.outer(ends, ends).astype(np.float32)
    made = composite(frame, picture, soft, place, colours=ColourMatch())
    y, x = np.mgrid[:90, :120]
    # bilinear resampling of the mask reaches half a pixel of the model's frame beyond the window
    reach_x, reach_y = width / 64 + 1, height / 64 + 1
    outside = (x < left - reach_x) | (x > left + width + reach_x) | (y < top - reach_y) | (y > top + height + reach_y)
    assert np.array_equal(made[outside], frame[outside])
    assert np.array_equal(frame, noise(90, 120)), "the frame itself was changed"


def test_what_was_cut_out_comes_back_where_it_was():
    frame = smooth(96, 128)
    place = Placement.of_window((40, 20, 48, 48), (48, 48))
    cut = frame[20:68, 40:88]
    made = composite(np.zeros_like(frame), cut, np.ones((48, 48), np.float32), place)
    assert np.array_equal(made[20:68, 40:88], cut)
    doubled = Placement.of_window((40, 20, 48, 48), (24, 24))
    small = cut.reshape(24, 2, 24, 2, 3).mean(axis=(1, 3)).round().astype(np.uint8)
    made = composite(frame, small, np.ones((24, 24), np.float32), doubled)
    assert np.abs(made[24:64, 44:84].astype(int) - frame[24:64, 44:84]).max() <= 3


@pytest.mark.parametrize("size", [24, 96])
def test_it_moves_by_parts_of_a_pixel(size):
    """A window a quarter of a pixel further shows everything a quarter of a pixel further: steady, never in jumps."""
    y, x = np.mgrid[:size, :size] + 0.5
    spot = np.exp(-((x / size - 0.5) ** 2 + (y / size - 0.5) ** 2) / 0.02)
    picture = (spot[..., None] * [250, 250, 250]).astype(np.uint8)
    places = []
    for quarter in range(8):
        scale = size / 48
        place = Placement(np.full(3, scale), np.array([20 + quarter / 4, 20, 0]), np.zeros(3), (size, size))
        made = composite(np.zeros((96, 96, 3), np.uint8), picture, np.ones((size, size), np.float32), place)
        light = made[..., 0].astype(float)
        places.append((light.sum(axis=0) * (np.arange(96) + 0.5)).sum() / light.sum())
    assert np.diff(places) == pytest.approx(np.full(7, 0.25), abs=0.02)
    assert places[0] == pytest.approx(44, abs=0.1)


def test_the_face_mask_holds_the_face_and_ends(make_track):
    track = make_track(3, size=64)
    for landmarks in track.landmarks:
        mask = face_mask(landmarks, (64, 64))
        columns, rows = landmarks[:, :2].astype(int).T
        inside = (columns > 6) & (columns < 57) & (rows > 6) & (rows < 57)
        assert mask[rows[inside], columns[inside]].min() > 0.5
        assert mask[0].max() == mask[-1].max() == mask[:, 0].max() == mask[:, -1].max() == 0
        assert 0 <= mask.min() and mask.max() <= 1


def test_the_mask_follows_by_parts_of_a_pixel(make_track):
    landmarks = make_track(1, size=128).landmarks[0] * 0.4 + 40
    areas, places = [], []
    for step in range(5):
        mask = face_mask(landmarks + np.float32([0.2 * step, 0, 0]), (128, 128))
        areas.append(mask.sum())
        places.append((mask.sum(axis=0) * np.arange(128)).sum() / mask.sum())
    assert np.diff(places) == pytest.approx(np.full(4, 0.2), abs=0.04)
    assert np.ptp(areas) < 0.005 * areas[0]


def test_colours_are_matched_and_stay_calm():
    covered = smooth(64, 64)
    place = Placement.of_window((0, 0, 64, 64), (64, 64))
    mask = np.ones((64, 64), np.float32)
    colours = ColourMatch()
    made = [
        composite(covered, (covered * 0.6 + 50 + wobble).astype(np.uint8), mask, place, colours=colours).astype(float)
        for wobble in (0, 0, 8, 0)
    ]
    assert np.abs(made[0] - covered).mean() < 1.5
    # a frame that is brighter by itself (an open mouth, a lamp in it) does not pull the others with it
    assert abs(made[3].mean() - made[1].mean()) < 1.0
    plain = composite(covered, (covered * 0.6 + 50).astype(np.uint8), mask, place)
    assert np.abs(plain.astype(float) - covered).mean() > 15


def test_a_model_frame_beside_the_frame_changes_nothing():
    frame = noise(40, 40)
    place = Placement.of_window((100, 100, 20, 20), (16, 16))
    assert np.array_equal(composite(frame, noise(16, 16), np.ones((16, 16), np.float32), place), frame)
