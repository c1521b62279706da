from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.errors import InputError
from model_core.geometry import Placement
from model_core.motion.components import RINGS
from model_core.motion.parsing_map import draw_parsing_map, label_map, parsing_map_signal
from model_core.types import PALETTE, Component, FaceTrack, PersonPart

FRAME = (256, 256)


def draw(landmarks: np.ndarray, size: tuple[int, int] = (128, 128)) -> np.ndarray:
    return draw_parsing_map(landmarks, source_size=FRAME, size=size)


def area(picture: np.ndarray, component: Component) -> int:
    return int((picture == PALETTE[component]).all(axis=-1).sum())


def test_every_component_is_drawn_in_its_colour_on_black(face: np.ndarray) -> None:
    picture = draw(face)
    assert picture.shape == (128, 128, 3) and picture.dtype == np.uint8
    for component in PALETTE:
        assert area(picture, component) >= 4, component
    assert (picture.reshape(-1, 3) == 0).all(axis=1).mean() > 0.8


def test_the_palette_leaves_out_the_contour_and_tells_components_apart() -> None:
    assert set(PALETTE) == set(Component) - {Component.BACKGROUND, Component.FACE}
    colours = [np.array(colour, dtype=float) for colour in (*PALETTE.values(), (0, 0, 0))]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(colours, 2)) > 100


def test_the_contour_is_absent(face: np.ndarray) -> None:
    drawn = sorted({int(index) for component in PALETTE for index in RINGS[component]} | {0, 168})
    other = face.copy()
    moved = np.setdiff1d(np.arange(len(face)), drawn)
    other[moved] += np.random.default_rng(0).normal(0, 30, (len(moved), 3)).astype(np.float32)
    assert np.array_equal(draw(face), draw(other))


def test_components_lie_where_their_landmarks_are(face: np.ndarray) -> None:
    picture = draw(face, (256, 256))
    for component in (Component.NOSE, Component.LEFT_IRIS, Component.RIGHT_IRIS, Component.INNER_MOUTH):
        rows, columns = np.nonzero((picture == PALETTE[component]).all(axis=-1))
        centre = face[RINGS[component], :2].mean(axis=0)
        # pixel centres lie half a pixel in
        assert np.abs([columns.mean() + 0.5, rows.mean() + 0.5] - centre).max() < 0.15


@settings(max_examples=25)
@given(dx=st.floats(-40, 40), dy=st.floats(-40, 40))
def test_moving_by_whole_map_pixels_moves_the_picture(face: np.ndarray, dx: float, dy: float) -> None:
    dx, dy = round(dx) * 2, round(dy) * 2
    shifted = np.zeros((128, 128, 3), np.uint8)
    base = draw(face)
    moved = draw(face + np.float32([dx, dy, 0]))
    x, y = dx // 2, dy // 2
    shifted[max(y, 0) : 128 + min(y, 0), max(x, 0) : 128 + min(x, 0)] = base[
        max(-y, 0) : 128 + min(-y, 0), max(-x, 0) : 128 + min(-x, 0)
    ]
    inner = (slice(42, 86), slice(42, 86))
    assert np.abs(moved[inner].astype(int) - shifted[inner]).max() <= 1


def test_small_movements_change_the_picture_smoothly(face: np.ndarray) -> None:
    totals = [draw(face + np.float32([shift, 0, 0])).sum(dtype=np.int64) for shift in np.linspace(0, 2, 9)]
    assert np.ptp(totals) / np.mean(totals) < 0.02


def test_an_iris_stays_inside_the_eye(face: np.ndarray) -> None:
    aside = face.copy()
    aside[RINGS[Component.LEFT_IRIS], 0] += 12  # half out of the corner
    labels = label_map(aside, FRAME, FRAME)
    open_eye = np.isin(label_map(face, FRAME, FRAME), (Component.LEFT_EYE, Component.LEFT_IRIS))
    assert (labels == Component.LEFT_IRIS).any()
    assert open_eye[labels == Component.LEFT_IRIS].all()


def test_a_closing_eye_fades_and_keeps_its_iris_inside(face: np.ndarray) -> None:
    sums = []
    for openness in (1.0, 0.5, 0.2, 0.0):
        closing = face.copy()
        closing[RINGS[Component.LEFT_EYE], 1] = 110 + (face[RINGS[Component.LEFT_EYE], 1] - 110) * openness
        eye_only = draw(closing).astype(int)[48:62, 70:90]
        sums.append(eye_only.sum())
    assert sums[0] > sums[1] > sums[2] > sums[3] > 0
    assert sums[3] < 0.25 * sums[0]


def test_the_far_eye_is_left_out_in_profile(face: np.ndarray) -> None:
    profile = face.copy()
    # the person's left eye and brow, folded over towards the nose
    for component in (Component.LEFT_EYE, Component.LEFT_BROW, Component.LEFT_IRIS):
        profile[RINGS[component], 0] = 128 - (profile[RINGS[component], 0] - 158) * 0.3
    picture = draw(profile)
    for component in (Component.LEFT_EYE, Component.LEFT_BROW, Component.LEFT_IRIS):
        assert area(picture, component) == 0
    assert area(picture, Component.RIGHT_EYE) > 0


def test_only_x_and_y_count(face: np.ndarray) -> None:
    assert np.array_equal(draw(face), draw(face[:, :2]))


@pytest.mark.parametrize("size", [(64, 96), (128, 128), (256, 256), (512, 384), (1200, 800)])
def test_any_size_can_be_drawn(face: np.ndarray, size: tuple[int, int]) -> None:
    picture = draw(face, size)
    assert picture.shape == (*size, 3)
    share = (picture.max(axis=-1) > 127).mean()
    assert share == pytest.approx((draw(face).max(axis=-1) > 127).mean(), rel=0.15)


def test_a_face_outside_the_frame_is_no_error(face: np.ndarray) -> None:
    assert not draw(face + np.float32([1e7, -1e7, 0])).any()
    assert draw(face * np.float32(40)).shape == (128, 128, 3)


def test_labels_hold_every_component_and_the_hull(face: np.ndarray) -> None:
    labels = label_map(face, FRAME, (128, 128))
    assert labels.shape == (128, 128) and labels.dtype == np.uint8
    assert set(np.unique(labels)) == {int(component) for component in Component}
    assert labels[70, 40] == Component.FACE and labels[2, 2] == Component.BACKGROUND


def test_bad_landmarks_are_named(face: np.ndarray) -> None:
    broken = face.copy()
    broken[3, 0] = np.nan
    with pytest.raises(InputError, match="landmarks: NaN"):
        draw(broken)
    with pytest.raises(InputError, match=r"landmarks: shape \(468, 3\)"):
        draw(face[:468])


def test_the_signal_of_a_track(face: np.ndarray) -> None:
    track = FaceTrack(
        boxes=np.zeros((2, 4), np.float32),
        landmarks=np.stack([face, face + np.float32([10, 0, 0])]),
        confidence=np.ones(2, np.float32),
        detected=np.ones(2, bool),
        size=FRAME,
    )
    signal = parsing_map_signal(track, size=(96, 128))
    assert signal.kind == "parsing_map"
    assert signal.frames.shape == (2, 3, 96, 128) and signal.frames.dtype == torch.float32
    assert float(signal.frames.min()) == 0.0 and float(signal.frames.max()) == 1.0
    expected = torch.from_numpy(draw(track.landmarks[1], (96, 128))).permute(2, 0, 1) / 255.0
    assert torch.equal(signal.frames[1], expected)


# --- label maps of an analyser that parses pixels -----------------------------------------------------------------


def parsed(face: np.ndarray, size: tuple[int, int] = FRAME) -> FaceTrack:
    """A track whose label maps say what its landmarks say, with hair, and whose landmarks are then moved away."""
    labels = label_map(face, FRAME, size)
    labels[:10] = PersonPart.HAIR
    return FaceTrack(
        boxes=np.zeros((1, 4), np.float32),
        landmarks=face[None] + np.float32([50, 50, 0]),
        confidence=np.ones(1, np.float32),
        detected=np.ones(1, bool),
        size=size,
        label_maps=labels[None],
    )


def as_picture(signal: torch.Tensor) -> np.ndarray:
    return (signal * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()


def test_label_maps_drive_instead_of_the_landmarks(face: np.ndarray) -> None:
    signal = parsing_map_signal(parsed(face), size=FRAME)
    assert signal.kind == "parsing_map" and signal.frames.dtype == torch.float32
    picture = as_picture(signal.frames[0])
    labels = label_map(face, FRAME, FRAME)
    for component, colour in PALETTE.items():
        assert np.array_equal((picture == colour).all(axis=2), labels == component), component
    # hair, skin and contour are black
    assert not picture[np.isin(labels, (Component.FACE, Component.BACKGROUND))].any()


def test_label_maps_are_averaged_where_they_shrink_as_drawings_are(face: np.ndarray) -> None:
    small = parsing_map_signal(parsed(face), size=(64, 64)).frames[0]
    drawn = torch.from_numpy(draw(face, (64, 64))).permute(2, 0, 1) / 255.0
    assert (small - drawn).abs().mean() < 0.01
    assert ((small - drawn).abs().amax(0) > 0.5).float().mean() < 0.005


@settings(max_examples=15, deadline=None)
@given(scale=st.floats(0.5, 2.0), x=st.floats(-40, 40), y=st.floats(-40, 40))
def test_label_maps_are_moved_as_the_landmarks_are(face: np.ndarray, scale: float, x: float, y: float) -> None:
    middle = np.array([128.0, 128.0, 0.0])
    place = Placement(np.full(3, scale), middle, middle + (x, y, 0), FRAME)
    pixels = parsing_map_signal(parsed(face), size=(128, 128), place=place).frames[0]
    drawn = draw_parsing_map(place.points(face), source_size=FRAME, size=(128, 128))
    apart = (pixels - torch.from_numpy(drawn).permute(2, 0, 1) / 255.0).abs()
    assert apart.mean() < 0.02 and (apart.amax(0) > 0.6).float().mean() < 0.02


def test_placing_landmarks_here_is_aligning_them_before(face: np.ndarray) -> None:
    track = replace(parsed(face), label_maps=None)
    place = Placement(np.full(3, 1.3), np.array([100.0, 90, 0]), np.array([60.0, 70, 0]), (200, 160))
    made = parsing_map_signal(track, size=(100, 80), place=place).frames
    assert torch.equal(made, parsing_map_signal(place.track(track), size=(100, 80)).frames)


def test_beyond_the_driving_frame_label_maps_say_nothing(face: np.ndarray) -> None:
    place = Placement(np.full(3, 1.0), np.zeros(3), np.array([200.0, 0.0, 0.0]), FRAME)
    track = parsed(face)
    track.label_maps[:] = Component.NOSE  # type: ignore[index]
    frames = parsing_map_signal(track, size=FRAME, place=place).frames[0]
    assert not frames[:, :, :199].any() and frames[:, :, 201:].any()
