from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.errors import InputError
from model_core.geometry import Placement
from model_core.motion.alignment import face_centre, face_size, placement, rest_frame, warp
from model_core.motion.components import RINGS
from model_core.types import Component, FaceTrack


def track(landmarks: np.ndarray, size: tuple[int, int] = (256, 256)) -> FaceTrack:
    low, high = landmarks[..., :2].min(axis=1), landmarks[..., :2].max(axis=1)
    return FaceTrack(
        boxes=np.concatenate([low, high], axis=1).astype(np.float32),
        landmarks=landmarks.astype(np.float32),
        confidence=np.ones(len(landmarks), np.float32),
        detected=np.ones(len(landmarks), bool),
        size=size,
        label_maps=np.zeros((len(landmarks), *size), np.uint8),
    )


@pytest.fixture(scope="module")
def driving(face: np.ndarray) -> FaceTrack:
    """Five frames: the head wanders, the jaw opens."""
    frames = [face + np.float32([3 * t, -2 * t, 0]) for t in range(5)]
    for t, points in enumerate(frames):
        points[RINGS[Component.LOWER_LIP]] += np.float32([0, 2 * t, 0])
    return track(np.stack(frames))


@pytest.fixture(scope="module")
def reference(face: np.ndarray) -> FaceTrack:
    return track((face * 1.7 + np.float32([40, 90, 0]))[None], (640, 480))


def align(driving: FaceTrack, reference: FaceTrack, **how: Any) -> FaceTrack:
    """The driving track in the reference image's pixels."""
    return placement(driving, reference, **how).track(driving)


def transformed(clip: FaceTrack, scale: float, shift: tuple[float, float]) -> FaceTrack:
    return track(clip.landmarks * scale + np.float32([*shift, 0]), clip.size)


def test_driving_equal_to_the_reference_stays(face: np.ndarray) -> None:
    own = track(face[None])
    for mode in ("relative", "absolute"):
        made = align(own, own, mode=mode)
        np.testing.assert_allclose(made.landmarks, own.landmarks, atol=1e-3)
        np.testing.assert_allclose(made.boxes, own.boxes, atol=1e-3)


def test_relative_puts_the_resting_face_onto_the_reference(driving: FaceTrack, reference: FaceTrack) -> None:
    made = align(driving, reference, mode="relative", driving_rest_frame=2)
    assert made.size == reference.size and made.label_maps is None and len(made) == 5
    np.testing.assert_allclose(face_centre(made.landmarks[2]), face_centre(reference.landmarks[0]), atol=1e-2)
    assert face_size(made.landmarks[2]) == pytest.approx(face_size(reference.landmarks[0]), rel=1e-4)


def test_relative_carries_movement_over_in_the_portraits_scale(driving: FaceTrack, reference: FaceTrack) -> None:
    made = align(driving, reference, mode="relative")
    ratio = face_size(reference.landmarks[0]) / face_size(driving.landmarks[0])
    np.testing.assert_allclose(
        made.landmarks - made.landmarks[0], (driving.landmarks - driving.landmarks[0]) * ratio, atol=1e-2
    )


@given(scale=st.floats(0.2, 5), x=st.floats(-500, 500), y=st.floats(-500, 500), rest=st.integers(-5, 4))
def test_relative_ignores_place_and_scale_of_the_driver(
    driving: FaceTrack, reference: FaceTrack, scale: float, x: float, y: float, rest: int
) -> None:
    expected = align(driving, reference, driving_rest_frame=rest)
    made = align(transformed(driving, scale, (x, y)), reference, driving_rest_frame=rest)
    np.testing.assert_allclose(made.landmarks, expected.landmarks, atol=0.05)
    np.testing.assert_allclose(made.boxes, expected.boxes, atol=0.05)


def test_face_size_disregards_expression_and_turning(face: np.ndarray) -> None:
    talking = face.copy()
    talking[RINGS[Component.LOWER_LIP], 1] += 20
    for eye in (Component.LEFT_EYE, Component.RIGHT_EYE):
        lids = RINGS[eye][[1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15]]
        talking[lids, 1] = 110
    assert face_size(talking) == face_size(face)
    angle = np.radians(40)
    turn = np.array([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]])
    assert face_size(face @ turn) == pytest.approx(face_size(face), rel=1e-5)


@pytest.mark.parametrize(
    ("size", "scale", "shift"),
    [((512, 512), 2.0, (0, 0)), ((128, 128), 0.5, (0, 0)), ((256, 512), 2.0, (0, -128)), ((512, 256), 2.0, (-128, 0))],
)
def test_absolute_lays_the_frame_over_the_reference(
    driving: FaceTrack, face: np.ndarray, size: tuple[int, int], scale: float, shift: tuple[int, int]
) -> None:
    made = align(driving, track(face[None], size), mode="absolute")
    assert made.size == size
    np.testing.assert_allclose(made.landmarks, driving.landmarks * scale + np.float32([*shift, 0]), atol=1e-3)


def test_the_rest_frame_looks_straight_with_the_mouth_closed(face: np.ndarray) -> None:
    closed = face.copy()
    closed[RINGS[Component.INNER_MOUTH], 1] = 180
    turned = closed.copy()
    turned[2, 0] += 15
    blinking = closed.copy()
    blinking[[386, 159], 1] = blinking[[374, 145], 1]
    rolled = closed.copy()
    rolled[:, :2] = (closed[:, :2] - 128) @ np.array([[0.9, 0.43], [-0.43, 0.9]]) + 128
    clip = track(np.stack([turned, face, blinking, closed, rolled]))
    assert rest_frame(clip) == 3
    filled_in = FaceTrack(**{**vars(clip), "detected": np.array([True, True, True, False, True])})
    assert rest_frame(filled_in) != 3
    own = track(closed[None])
    np.testing.assert_allclose(align(clip, own, driving_rest_frame="frontal").landmarks[3], closed, atol=1e-3)


def closed_mouth(face: np.ndarray) -> np.ndarray:
    made = face.copy()
    made[RINGS[Component.INNER_MOUTH], 1] = 180
    return made


def test_the_rest_frame_has_both_eyes_open_and_does_not_nod(face: np.ndarray) -> None:
    level = closed_mouth(face)
    winks = np.stack([level] * 5)  # most of a clip's frames say how far its eyes are open
    winks[0, 386, 1] = winks[0, 374, 1]
    winks[1, 159, 1] = winks[1, 145, 1]
    assert rest_frame(track(winks)) == 2
    nods = np.stack([level] * 3)
    for frame, by in ((0, -8), (2, 8)):  # the base of the nose, seen from above or below
        nods[frame, [2, 97, 326, 94, 1, 4], 1] += by
    assert rest_frame(track(nods)) == 1


@given(st.lists(st.floats(0.3, 3.0), min_size=4, max_size=4), st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_how_near_the_driver_is_does_not_choose_the_rest_frame(
    face: np.ndarray, scales: list[float], best: int
) -> None:
    level = closed_mouth(face)
    clip = np.stack([face] * 4)
    clip[best] = level
    sized = clip * np.float32(scales)[:, None, None]
    assert rest_frame(track(sized)) == rest_frame(track(clip)) == best


@given(scale=st.floats(0.25, 3.0), x=st.floats(-30, 30), y=st.floats(-30, 30), stretch=st.sampled_from([0.5, 1.0, 1.5]))
@settings(max_examples=30, deadline=None)
def test_a_warped_frame_shows_every_place_where_it_lies(scale: float, x: float, y: float, stretch: float) -> None:
    """Ramps say of every pixel where it was, also where the frame shrinks."""
    rows, columns = (torch.arange(96.0) + 0.5).expand(2, 96, 96).clone().unbind()
    frames = torch.stack([columns, rows.T])[None]
    place = Placement(np.full(3, scale), np.array([48.0, 48.0, 0.0]), np.array([60.0 + x, 50.0 + y, 0.0]), (100, 120))
    size = (round(100 * stretch), round(120 * stretch))
    made = warp(frames, place, size=size)[0]
    v, u = ((torch.arange(side) + 0.5) / stretch for side in size)
    wanted = torch.stack(
        torch.broadcast_tensors(48 + (u - 60 - x) / scale, (48 + (v - 50 - y) / scale)[:, None])  # type: ignore[no-untyped-call]
    )
    border = 4 / min(scale * stretch, 1)
    inside = ((wanted > border) & (wanted < 96 - border)).all(dim=0)
    assert not inside.any() or (made - wanted)[:, inside].abs().max() < 0.1
    beyond = ((wanted < -border) | (wanted > 96 + border)).any(dim=0)
    assert not made[:, beyond].any()


def test_what_shrinks_is_antialiased() -> None:
    noise = torch.rand(1, 1, 128, 128, generator=torch.Generator().manual_seed(0))
    quarter = Placement(np.full(3, 0.25), np.zeros(3), np.zeros(3), (32, 32))
    made = warp(noise, quarter, size=(32, 32))
    assert made.std() < 0.09 and made.mean() == pytest.approx(0.5, abs=0.01)  # four pixels alone leave 0.14
    whole = warp(noise, Placement.in_place((128, 128)), size=(128, 128))
    torch.testing.assert_close(whole, noise, atol=1e-5, rtol=0)


def test_what_cannot_be_aligned_is_named(driving: FaceTrack, reference: FaceTrack) -> None:
    with pytest.raises(InputError, match="reference: a face track of 5"):
        align(driving, driving)
    with pytest.raises(InputError, match="unknown mode 'relativ'"):
        align(driving, reference, mode="relativ")
    with pytest.raises(InputError, match="rest frame 5 of a clip of 5"):
        align(driving, reference, driving_rest_frame=5)
    with pytest.raises(InputError, match="no extent"):
        align(track(np.zeros((1, 478, 3))), reference)
