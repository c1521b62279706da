from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.errors import InputError
from model_core.geometry import Placement
from model_core.motion.components import RINGS
from model_core.motion.drawn_landmarks import (
    draw_dots,
    draw_lines,
    drawn_landmarks_signal,
    split_landmarks_signal,
)
from model_core.types import Component, FaceTrack

FRAME = (256, 256)
RED, GREEN, YELLOW = (255, 0, 0), (0, 255, 0), (255, 255, 0)
# colour of a line, and two neighbouring landmarks on it
LINES = {
    (180, 200, 10): (374, 380),
    (180, 220, 10): (334, 296),
    (10, 200, 180): (145, 153),
    (10, 220, 180): (105, 66),
    (100, 100, 30): (178, 87),
    (100, 150, 50): (402, 318),
    (120, 100, 200): (81, 82),
    (150, 120, 100): (312, 311),
}


def lines(face: np.ndarray, size: tuple[int, int] = FRAME) -> np.ndarray:
    return draw_lines(face, source_size=FRAME, size=size)


def dots(face: np.ndarray, size: tuple[int, int] = FRAME) -> tuple[np.ndarray, np.ndarray]:
    return draw_dots(face, source_size=FRAME, size=size)


def where(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return (picture == colour).all(axis=2)


def track(*faces: np.ndarray, size: tuple[int, int] = FRAME) -> FaceTrack:
    return FaceTrack(
        boxes=np.zeros((len(faces), 4), np.float32),
        landmarks=np.stack(faces).astype(np.float32),
        confidence=np.ones(len(faces), np.float32),
        detected=np.ones(len(faces), bool),
        size=size,
    )


def test_every_line_has_its_colour_and_place(face: np.ndarray) -> None:
    large = draw_lines(face, source_size=FRAME, size=(1024, 1024))
    for colour, (one, other) in LINES.items():
        x, y = ((face[one, :2] + face[other, :2]) / 2 * 4).astype(int)
        assert where(large, colour)[y - 2 : y + 3, x - 2 : x + 3].any(), colour
    found = {tuple(colour) for colour in np.unique(large.reshape(-1, 3), axis=0).tolist()}
    assert found == {(0, 0, 0), RED, *LINES}


def test_nose_outer_lips_and_outline_are_not_drawn(face: np.ndarray) -> None:
    moved = face.copy()
    hidden = [*RINGS[Component.NOSE], *RINGS[Component.FACE], 0, 17, 61, 291, 40, 405]
    moved[hidden] += np.float32([9, -7, 0])
    assert np.array_equal(lines(moved), lines(face))


def test_a_pupil_is_a_red_square_of_six(face: np.ndarray) -> None:
    red = where(lines(face), RED)
    assert red.sum() == 2 * 36
    x, y = face[468, :2].astype(int)
    assert red[y - 3 : y + 3, x - 3 : x + 3].all()


def test_a_line_is_one_pixel_wide_whatever_the_size(face: np.ndarray) -> None:
    small, large = lines(face, (256, 256)), lines(face, (1024, 1024))
    ratio = (large.any(axis=2).sum() - 72) / (small.any(axis=2).sum() - 72)
    assert 3.5 < ratio < 5.5  # four times as long, not sixteen times the area


def test_it_is_what_mediapipe_itself_draws(face: np.ndarray) -> None:
    drawing = pytest.importorskip("mediapipe.tasks.python.vision.drawing_utils", reason="NO DRAWING IN THIS MEDIAPIPE")
    from mediapipe.tasks.python.components.containers.landmark import NormalizedLandmark
    from mediapipe.tasks.python.vision import FaceLandmarksConnections as Connections

    inner = {
        (100, 100, 30): [(78, 95), (95, 88), (88, 178), (178, 87), (87, 14)],
        (100, 150, 50): [(14, 317), (317, 402), (402, 318), (318, 324), (324, 308)],
        (120, 100, 200): [(78, 191), (191, 80), (80, 81), (81, 82), (82, 13)],
        (150, 120, 100): [(13, 312), (312, 311), (311, 310), (310, 415), (415, 308)],
    }
    parts = [
        ((180, 200, 10), Connections.FACE_LANDMARKS_LEFT_EYE),
        ((180, 220, 10), Connections.FACE_LANDMARKS_LEFT_EYEBROW),
        ((10, 200, 180), Connections.FACE_LANDMARKS_RIGHT_EYE),
        ((10, 220, 180), Connections.FACE_LANDMARKS_RIGHT_EYEBROW),
        *((colour, [Connections.Connection(*pair) for pair in pairs]) for colour, pairs in inner.items()),
    ]
    expected = np.zeros((512, 512, 3), np.uint8)
    points = [NormalizedLandmark(x=float(x) / 256, y=float(y) / 256, z=1.0) for x, y, _ in face]
    for colour, connections in parts:
        spec = drawing.DrawingSpec(color=colour, thickness=1, circle_radius=1)
        drawing.draw_landmarks(expected, points, connections, None, spec)
    made = lines(face, (512, 512))
    made[where(made, RED)] = expected[where(made, RED)]
    assert np.array_equal(made, expected)


def test_what_lies_outside_is_left_out(face: np.ndarray) -> None:
    assert not lines(face + np.float32([1e7, -1e7, 0])).any()
    cut = lines(face + np.float32([-125, 0, 0]))  # the person's right eye is outside, the left one inside
    assert not where(cut, (10, 200, 180)).any() and where(cut, (180, 200, 10)).any()
    at_the_edge = face.copy()
    at_the_edge[468, :2] = (1, 1)
    assert where(lines(at_the_edge), RED).sum() == 36 + 16


def test_the_head_s_dots(face: np.ndarray) -> None:
    head, _ = dots(face, (512, 512))
    assert not head[int(512 * 0.55) :].any()
    assert where(head, GREEN).any()
    x, y = (face[473, :2] * 2).astype(int)
    assert tuple(head[y, x]) == YELLOW
    x, y = (face[263, :2] * 2).astype(int)
    assert tuple(head[y, x]) == GREEN


def test_the_mouth_s_dots_are_centred_by_the_face(face: np.ndarray) -> None:
    _, mouth = dots(face, (512, 512))
    _, moved = dots(face + np.float32([11, -17, 0]), (512, 512))
    rows, columns = np.nonzero(where(mouth, GREEN))
    np.testing.assert_allclose(np.argwhere(where(moved, GREEN)).mean(0), (rows.mean(), columns.mean()), atol=0.6)
    assert abs(columns.mean() - 256) < 3 and rows.mean() > 256  # in the middle, below the face's own
    assert not where(mouth, YELLOW).any()


def test_the_jaw_moves_the_mouth_s_picture_only(face: np.ndarray) -> None:
    talking = face.copy()
    talking[[17, 84, 314, 405, 181, 14, 87, 317, 178, 402], 1] += 12
    (head, mouth), (talking_head, talking_mouth) = dots(face), dots(talking)
    assert np.array_equal(head, talking_head)
    assert not np.array_equal(mouth, talking_mouth)


@settings(max_examples=25, deadline=None)
@given(x=st.integers(-20, 20), y=st.integers(-20, 20))
def test_moving_the_face_moves_the_pictures(face: np.ndarray, x: int, y: int) -> None:
    still, moved = lines(face), lines(face + np.float32([x, y, 0]))
    assert np.array_equal(np.roll(still, (y, x), (0, 1)), moved)


def test_signals_have_their_kinds_and_shapes(face: np.ndarray) -> None:
    clip = track(face, face + np.float32([5, 0, 0]))
    drawn, split = drawn_landmarks_signal(clip, size=(96, 128)), split_landmarks_signal(clip, size=(96, 128))
    assert drawn.kind == "drawn_landmarks" and drawn.frames.shape == (2, 3, 96, 128)
    assert split.kind == "split_landmarks" and split.frames.shape == (2, 6, 96, 128)
    for signal in (drawn, split):
        assert signal.frames.dtype == torch.float32
        assert float(signal.frames.min()) == 0.0 and float(signal.frames.max()) == 1.0
    head, mouth = dots(clip.landmarks[1], (96, 128))
    expected = torch.from_numpy(np.concatenate([head, mouth], axis=2)).permute(2, 0, 1) / 255.0
    assert torch.equal(split.frames[1], expected)


def test_a_place_moves_the_landmarks(face: np.ndarray) -> None:
    place = Placement(np.full(3, 2.0), np.array([128.0, 128, 0]), np.array([256.0, 256, 0]), (512, 512))
    made = drawn_landmarks_signal(track(face), size=(512, 512), place=place)
    assert torch.equal(made.frames, drawn_landmarks_signal(track(face), size=(512, 512)).frames)


def test_bad_landmarks_are_named(face: np.ndarray) -> None:
    broken = face.copy()
    broken[3, 0] = np.nan
    for draw in (lines, dots):
        with pytest.raises(InputError, match="landmarks: NaN"):
            draw(broken)
