"""Placements: one map for points, pixels and OpenCV, there and back."""

from __future__ import annotations

import cv2
import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from model_core.geometry import Placement, soft_ends
from model_core.types import FaceTrack

SIZE = (48, 64)

numbers = st.floats(-300, 300)
triples = st.builds(lambda *values: np.array(values), numbers, numbers, numbers)
factors = st.floats(0.1, 8)
scales = st.builds(lambda *values: np.array(values), factors, factors, factors)
sizes = st.tuples(st.integers(1, 400), st.integers(1, 400))
placements = st.builds(Placement, scale=scales, source=triples, target=triples, size=sizes)
points = st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=5).map(np.array)


@given(place=placements, points=points)
def test_its_point_goes_where_it_says_and_distances_are_scaled(place: Placement, points: np.ndarray) -> None:
    np.testing.assert_array_equal(place.points(place.source), place.target)
    moved = place.points(points)
    np.testing.assert_allclose(moved - place.target, (points - place.source) * place.scale, atol=1e-9)
    np.testing.assert_allclose(moved, place.scale * points + place.offset, atol=1e-8)
    np.testing.assert_array_equal(place.points(points[:, :2]), moved[:, :2])


@given(place=placements, points=points, size=sizes)
def test_the_way_back_undoes_it(place: Placement, points: np.ndarray, size: tuple[int, int]) -> None:
    np.testing.assert_allclose(place.back(place.points(points)), points, atol=1e-9)
    inverse = place.inverse(size)
    assert inverse.size == size
    np.testing.assert_allclose(inverse.points(place.points(points)), points, atol=1e-9)
    np.testing.assert_allclose(inverse.back(points), place.points(points), atol=1e-9)


@given(first=placements, second=placements, third=placements, points=points)
def test_one_after_the_other_is_both(first: Placement, second: Placement, third: Placement, points: np.ndarray) -> None:
    both = second.after(first)
    assert both.size == second.size
    np.testing.assert_allclose(both.points(points), second.points(first.points(points)), rtol=1e-9, atol=1e-7)
    left, right = third.after(second).after(first), third.after(second.after(first))
    np.testing.assert_allclose(left.points(points), right.points(points), rtol=1e-9, atol=1e-6)
    around = first.inverse(SIZE).after(first)
    np.testing.assert_allclose(around.points(points), points, atol=1e-6)


@given(place=placements)
def test_in_place_changes_nothing(place: Placement) -> None:
    still = Placement.in_place(place.size)
    for joined in (still.after(place), place.after(still)):
        np.testing.assert_allclose(joined.scale, place.scale)
        np.testing.assert_allclose(joined.offset, place.offset, atol=1e-9)


@given(
    scale_x=st.floats(0.4, 3),
    scale_y=st.floats(0.4, 3),
    x=st.floats(-10, 10),
    y=st.floats(-10, 10),
    back=st.booleans(),
)
def test_opencv_moves_pixels_where_points_go(scale_x: float, scale_y: float, x: float, y: float, back: bool) -> None:
    """Every pixel of a warped picture shows what lay where its middle came from; the picture is a ramp of places."""
    place = Placement(np.array([scale_x, scale_y, 1.0]), np.array([30.0, 20, 0]), np.array([28.0 + x, 22 + y, 0]), SIZE)
    rows, columns = (axis.astype(np.float32) + np.float32(0.5) for axis in np.mgrid[: SIZE[0], : SIZE[1]])
    if back:
        matrix, flags = place.inverse(SIZE).matrix(), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    else:
        matrix, flags = place.matrix(), cv2.INTER_LINEAR
    middles = np.stack([columns, rows], axis=-1).astype(np.float64)
    shown = place.back(middles)
    found = cv2.warpAffine(np.stack([columns, rows], axis=-1), matrix, SIZE[::-1], flags=flags)
    inside = ((shown > 1) & (shown < (SIZE[1] - 1, SIZE[0] - 1))).all(axis=-1)
    assume(inside.sum() > 50)
    assert np.abs(found - shown)[inside].max() < 1 / 32 + 1e-3  # to which OpenCV rounds places
    assert np.abs((found - shown)[inside].mean(axis=0)).max() < 1 / 64 + 1e-3


@given(scale=st.sampled_from([0.5, 1.0, 2.0, 4.0]), eighths=st.integers(-60, 60))
def test_opencv_is_met_to_a_thousandth_where_it_does_not_round(scale: float, eighths: int) -> None:
    """Where places are whole numbers of its 1/32 pixel: a picture of noise, by bilinear weights."""
    shift = eighths / 8
    picture = np.random.default_rng(0).random(SIZE).astype(np.float32)
    place = Placement(np.full(3, scale), np.zeros(3), np.array([shift, -shift, 0.0]), SIZE)
    made = cv2.warpAffine(picture, place.matrix(), SIZE[::-1], flags=cv2.INTER_LINEAR)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    x, y = np.moveaxis(place.back(np.stack([columns, rows], axis=-1)), -1, 0) - 0.5
    inside = (x > 0) & (x < SIZE[1] - 1) & (y > 0) & (y < SIZE[0] - 1)
    left, top = np.floor(x[inside]).astype(int), np.floor(y[inside]).astype(int)
    right, down = x[inside] - left, y[inside] - top
    upper = picture[top, left] * (1 - right) + picture[top, left + 1] * right
    lower = picture[top + 1, left] * (1 - right) + picture[top + 1, left + 1] * right
    assume(inside.sum() > 50)
    np.testing.assert_allclose(made[inside], upper * (1 - down) + lower * down, atol=1e-3)


@given(
    left=st.integers(-50, 50),
    top=st.integers(-50, 50),
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    size=st.none() | sizes,
)
def test_a_window_fills_the_picture(left: int, top: int, width: int, height: int, size: tuple[int, int] | None) -> None:
    place = Placement.of_window((left, top, width, height), size)
    shown = size or (height, width)
    assert place.size == shown and place.scale[2] == place.scale[0]
    corners = place.points(np.float32([[left, top], [left + width, top + height]]))
    assert corners.dtype == np.float32
    np.testing.assert_allclose(corners, [[0, 0], [shown[1], shown[0]]], rtol=1e-6)


def test_a_track_moves_with_its_boxes_and_leaves_its_label_maps() -> None:
    landmarks = np.random.default_rng(0).random((2, 478, 3)).astype(np.float32) * 100
    boxes = np.concatenate([landmarks[..., :2].min(axis=1), landmarks[..., :2].max(axis=1)], axis=1)
    maps = np.zeros((2, 100, 100), np.uint8)
    track = FaceTrack(boxes, landmarks, np.ones(2, np.float32), np.ones(2, bool), (100, 100), label_maps=maps)
    place = Placement(np.array([2.0, 3, 2]), np.array([5.0, 6, 7]), np.array([1.0, 2, 3]), SIZE)
    moved = place.track(track)
    assert moved.size == SIZE and moved.label_maps is None
    assert moved.landmarks.dtype == moved.boxes.dtype == np.float32
    np.testing.assert_allclose(moved.landmarks, (landmarks - [5, 6, 7]) * [2, 3, 2] + [1, 2, 3], rtol=1e-5)
    np.testing.assert_allclose(moved.boxes[:, :2], moved.landmarks[..., :2].min(axis=1), rtol=1e-6)
    np.testing.assert_allclose(moved.boxes[:, 2:], moved.landmarks[..., :2].max(axis=1), rtol=1e-6)


@given(
    length=st.integers(1, 60),
    low=st.booleans(),
    high=st.booleans(),
    width=st.floats(0.01, 40),
    still=st.sampled_from([0.0, 0.5]),
)
def test_ends_are_soft_where_they_should_be(length: int, low: bool, high: bool, width: float, still: float) -> None:
    made = soft_ends(length, low=low, high=high, width=width, still=still)
    assert made.shape == (length,) and (made >= 0).all() and (made <= 1).all()
    place = np.arange(length) + 0.5
    near = np.full(length, np.inf)
    near = np.minimum(near, place if low else np.inf)
    near = np.minimum(near, length - place if high else np.inf)
    assert (made[near >= width + still] == 1).all() and (made[near <= still] == 0).all()
    if not high:
        assert (np.diff(made) >= 0).all()
    np.testing.assert_allclose(made[::-1], soft_ends(length, low=high, high=low, width=width, still=still), atol=1e-12)
    assert soft_ends(length, low=low, high=high, width=width, dtype=np.float32).dtype == np.float32
