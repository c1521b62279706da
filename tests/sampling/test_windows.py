from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.config import SamplingConfig
from model_core.errors import InputError
from model_core.sampling import CyclicOverlap, WrappedWindows, make_windows, window_picture


@st.composite
def cases(draw: st.DrawFn) -> tuple[CyclicOverlap, int, int]:
    """(windows, step, frames) of any kind."""
    length = draw(st.integers(1, 24))
    windows = CyclicOverlap(
        length,
        draw(st.integers(0, length - 1)),
        cyclic=draw(st.booleans()),
        blend=draw(st.sampled_from(["uniform", "linear", "gaussian"])),
    )
    return windows, draw(st.integers(0, 60)), draw(st.integers(1, 90))


def check(windows: CyclicOverlap, step: int, num_frames: int) -> None:
    made = windows.windows(step, num_frames)
    total = np.zeros(num_frames)
    for window in made:
        first, size = window.frames[0], min(windows.length, num_frames)
        assert window.frames == tuple(range(first, first + size))
        assert list(range(num_frames))[window.span] == list(window.frames)
        assert len(window.weights) == size and all(0 < weight <= 1 for weight in window.weights)
        total[list(window.frames)] += window.weights
    np.testing.assert_allclose(total, 1, atol=1e-12)
    assert made[0].frames[0] == 0 and made[-1].frames[-1] == num_frames - 1
    for one, next_one in itertools.pairwise(made):
        shared = len(set(one.frames) & set(next_one.frames))
        assert windows.overlap <= shared < windows.length


@given(cases())
@settings(max_examples=200, deadline=None)
def test_every_frame_is_covered_once_in_sum(case: tuple[CyclicOverlap, int, int]) -> None:
    check(*case)


@pytest.mark.parametrize(("length", "overlap"), [(1, 0), (2, 1), (5, 0), (5, 4), (8, 3), (16, 4), (16, 8)])
def test_a_wide_grid(length: int, overlap: int) -> None:
    windows = CyclicOverlap(length, overlap)
    for num_frames, step in itertools.product([*range(1, 40), 64, 65], range(0, 18)):
        check(windows, step, num_frames)


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 50))
def test_a_short_clip_is_one_window_of_weight_one(num_frames: int, length: int, step: int) -> None:
    num_frames = min(num_frames, length)
    for blend in ("uniform", "linear"):
        (window,) = CyclicOverlap(length, length // 2, blend=blend).windows(step, num_frames)
        assert window.frames == tuple(range(num_frames))
        assert window.weights == (1.0,) * num_frames


@given(st.integers(2, 20), st.integers(0, 19), st.integers(0, 40), st.integers(1, 80))
def test_windows_move_right_by_one_frame_per_step(length: int, overlap: int, step: int, more: int) -> None:
    windows = CyclicOverlap(length, min(overlap, length - 1))
    last = more
    before, after = (windows.starts(k, length + last) for k in (step, step + 1))
    moved = [start + 1 for start in before[1:-1] if start + 1 < last]
    assert set(moved) <= set(after)
    assert windows.starts(step + windows.stride, length + last) == before


@given(st.integers(2, 20), st.integers(1, 19), st.integers(1, 60))
@settings(deadline=None)
def test_every_seam_is_averaged_within_a_stride_of_steps(length: int, overlap: int, more: int) -> None:
    windows = CyclicOverlap(length, min(overlap, length - 1))
    num_frames, most = length + more, np.zeros(length + more, dtype=int)
    for step in range(windows.stride):
        count = np.zeros(num_frames, dtype=int)
        for window in windows.windows(step, num_frames):
            count[window.span] += 1
        most = np.maximum(most, count)
    assert (most[1:-1] >= 2).all(), most


def test_fixed_windows_stay() -> None:
    windows = CyclicOverlap(8, 2, cyclic=False)
    assert windows.starts(0, 21) == windows.starts(5, 21) == [0, 6, 12, 13]


def test_known_windows() -> None:
    windows = CyclicOverlap(8, 2)
    assert windows.starts(0, 20) == [0, 6, 12]
    assert windows.starts(1, 20) == [0, 1, 7, 12]
    assert windows.starts(5, 20) == [0, 5, 11, 12]
    assert windows.starts(6, 20) == [0, 6, 12]


@given(cases())
def test_at_most_one_window_more_than_fixed_ones(case: tuple[CyclicOverlap, int, int]) -> None:
    windows, step, num_frames = case
    fixed = CyclicOverlap(windows.length, windows.overlap, cyclic=False)
    assert len(windows.starts(step, num_frames)) <= len(fixed.starts(0, num_frames)) + 1


def test_linear_blend_cross_fades() -> None:
    one, two = CyclicOverlap(6, 3, blend="linear").windows(0, 9)
    np.testing.assert_allclose(one.weights, [1, 1, 1, 0.75, 0.5, 0.25])
    np.testing.assert_allclose(two.weights, [0.25, 0.5, 0.75, 1, 1, 1])
    assert CyclicOverlap(6, 3).windows(0, 9)[0].weights == (1, 1, 1, 0.5, 0.5, 0.5)


def test_the_linear_taper_is_as_long_as_the_overlap() -> None:
    """Where moved windows share more than that, both count fully; a flatter taper would go on falling there."""
    one, two, three = CyclicOverlap(8, 2, blend="linear").windows(1, 15)
    assert (one.frames[0], two.frames[0], three.frames[0]) == (0, 1, 7)
    np.testing.assert_allclose(one.weights, [1, 2 / 3, 0.6, 0.5, 0.5, 0.5, 0.4, 0.25])
    np.testing.assert_allclose(two.weights, [1 / 3, 0.4, 0.5, 0.5, 0.5, 0.6, 0.5, 1 / 3])
    np.testing.assert_allclose(three.weights, [0.25, 2 / 3, 1, 1, 1, 1, 1, 1])


@pytest.mark.parametrize(("length", "overlap"), [(0, 0), (4, 4), (4, 5), (4, -1), (-2, 0)])
def test_bad_values_are_named(length: int, overlap: int) -> None:
    with pytest.raises(InputError, match=rf"window .*({length}|{overlap})"):
        CyclicOverlap(length, overlap)


def test_bad_blend_and_empty_clip() -> None:
    with pytest.raises(InputError, match="uniform, linear"):
        CyclicOverlap(4, 1, blend="cubic")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="at least one frame"):
        CyclicOverlap(4, 1).windows(0, 0)


def test_picture_shows_overlaps() -> None:
    picture = window_picture(CyclicOverlap(6, 2), 10, 3, cell=4)
    assert picture.shape == (12, 40, 3) and picture.dtype == np.uint8
    blue, orange = picture[0, 0], picture[0, 4 * 4]
    assert (picture[0, ::4] == [*[blue] * 4, *[orange] * 2, *[blue] * 4]).all()  # frames 0-5 and 4-9
    assert (picture[4, 4 * 1] == orange).all()  # step 1: frames 0-5, 1-6 and 4-9
    assert len({tuple(picture[4, 4 * frame].tolist()) for frame in (0, 1, 5)}) == 3


@given(st.integers(2, 24), st.data(), st.integers(1, 90), st.integers(1, 3))
@settings(max_examples=150, deadline=None)
def test_wrapped_windows_cover_every_frame_once_in_sum(length: int, data, num_frames: int, dilations: int) -> None:
    overlap = data.draw(st.integers(0, length - 1))
    windows = WrappedWindows(length, overlap, dilations=dilations)
    made = windows.windows(0, num_frames)
    assert made == windows.windows(7, num_frames)  # they stay in place
    blended = np.zeros(num_frames)
    for window in made:
        assert len(window.frames) == min(length, num_frames)
        blended[window.span] += window.weights  # as the loop does it: a frame that stands twice counts once
    np.testing.assert_allclose(blended, 1, atol=1e-12)


@pytest.mark.parametrize("dilations", [2, 3])
def test_known_dilated_windows(dilations: int) -> None:
    """AnimateAnyone's, which makes no more sets than the clip has use for."""
    made = [window.frames for window in WrappedWindows(8, 2, dilations=dilations).windows(0, 12)]
    assert made == [(0, 1, 2, 3, 4, 5, 6, 7), (6, 7, 8, 9, 10, 11, 0, 1), (0, 2, 4, 6, 8, 10, 0, 2)]


def test_added_windows_count_every_overlap() -> None:
    windows = WrappedWindows(8, 2, averaged=False).windows(0, 12)
    assert [window.frames[0] for window in windows] == [0, 6]
    assert {weight for window in windows for weight in window.weights} == {1.0}


def test_gaussian_weights_trust_the_middle() -> None:
    one, other = CyclicOverlap(8, 4, cyclic=False, blend="gaussian").windows(0, 12)
    shared = np.array(one.weights[4:]), np.array(other.weights[:4])
    assert (np.diff(shared[0]) < 0).all() and (np.diff(shared[1]) > 0).all()
    ratio = np.exp((3.5**2 - 0.5**2) / 64 / 0.02)  # of a window's end and the neighbour's place beside its middle
    assert shared[0][0] / shared[1][0] == pytest.approx(ratio)


def test_settings_choose_the_windows() -> None:
    config = SamplingConfig(window=8, overlap=3, blend="linear", cyclic=False)
    assert make_windows(config) == CyclicOverlap(8, 3, cyclic=False, blend="linear")
    assert make_windows(SamplingConfig(window=8, overlap=3, wrapped=True)) == WrappedWindows(8, 3)
