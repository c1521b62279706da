from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.errors import InputError
from model_core.motion.alignment import face_centre, face_size
from model_core.motion.components import INNER_MOUTH_RINGS, RINGS
from model_core.motion.retarget import retarget, rotation
from model_core.types import Component, FaceTrack


def track(landmarks: np.ndarray, size: tuple[int, int] = (256, 256)) -> FaceTrack:
    low, high = landmarks[..., :2].min(axis=1), landmarks[..., :2].max(axis=1)
    return FaceTrack(
        boxes=np.concatenate([low, high], axis=1).astype(np.float32),
        landmarks=landmarks.astype(np.float32),
        confidence=np.ones(len(landmarks), np.float32),
        detected=np.ones(len(landmarks), bool),
        size=size,
    )


def turned(points: np.ndarray, yaw: float, roll: float = 0.0) -> np.ndarray:
    across = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    around = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    centre = face_centre(points)
    return centre + (points - centre) @ (around @ across).T


@pytest.fixture(scope="module")
def driving(face: np.ndarray) -> FaceTrack:
    """Four frames: the head turns and comes nearer, the jaw opens, the gaze wanders."""
    frames = []
    for t in range(4):
        points = face.astype(np.float64)
        points[[*INNER_MOUTH_RINGS[1][1:-1], *RINGS[Component.LOWER_LIP][1:10]], 1] += 3 * t
        points[468:478, 0] += 2 * t
        frames.append(turned(points * (1 + 0.05 * t), 0.12 * t, 0.05 * t) + (4 * t, -3 * t, 0))
    return track(np.stack(frames))


@pytest.fixture(scope="module")
def portrait(face: np.ndarray) -> FaceTrack:
    """A longer face with a wide mouth, elsewhere and larger."""
    points = face.astype(np.float64) * (1.6, 2.0, 1.6) + (60, 20, 0)
    mouth = np.unique([*RINGS[Component.UPPER_LIP], *RINGS[Component.LOWER_LIP], *RINGS[Component.INNER_MOUTH]])
    middle = points[mouth].mean(0)
    points[mouth] = middle + (points[mouth] - middle) * (1.3, 1.0, 1.0)
    return track(points[None], (600, 512))


def test_a_face_that_drives_itself_is_left_alone(driving: FaceTrack) -> None:
    made = retarget(driving, driving.take([0]))
    np.testing.assert_allclose(made.landmarks, driving.landmarks, atol=0.02)


def test_at_rest_the_portrait_keeps_its_own_face(driving: FaceTrack, portrait: FaceTrack) -> None:
    made = retarget(driving, portrait, driving_rest_frame=0)
    assert made.size == portrait.size and made.label_maps is None and len(made) == 4
    np.testing.assert_allclose(face_centre(made.landmarks[0]), face_centre(portrait.landmarks[0]), atol=1.0)
    lips = RINGS[Component.UPPER_LIP]
    own, kept = (np.ptp(points[lips, 0]) for points in (portrait.landmarks[0], made.landmarks[0]))
    assert kept == pytest.approx(own, rel=0.03)  # the portrait's wide mouth, not the driver's


def test_the_mouth_opens_as_the_driver_s_does(driving: FaceTrack, portrait: FaceTrack) -> None:
    made = retarget(driving, portrait)
    gap = np.linalg.norm(made.landmarks[:, 13] - made.landmarks[:, 14], axis=1)
    theirs = np.linalg.norm(driving.landmarks[:, 13] - driving.landmarks[:, 14], axis=1)
    sizes = [face_size(points) for points in made.landmarks], [face_size(points) for points in driving.landmarks]
    opened, wanted = gap / sizes[0] - (gap / sizes[0])[0], theirs / sizes[1] - (theirs / sizes[1])[0]
    np.testing.assert_allclose(opened, wanted, atol=0.02)


def test_the_gaze_is_the_driver_s_share_of_the_eye(driving: FaceTrack, portrait: FaceTrack) -> None:
    made = retarget(driving, portrait)
    for points, theirs in zip(made.landmarks, driving.landmarks, strict=True):
        shares = []
        for face in (points, theirs):
            eye = face[RINGS[Component.LEFT_EYE], :2]
            shares.append((face[473, :2] - eye.min(0)) / np.ptp(eye, axis=0))
        np.testing.assert_allclose(*shares, atol=1e-3)


def test_the_head_turns_as_the_driver_s(driving: FaceTrack, portrait: FaceTrack) -> None:
    made = retarget(driving, portrait)
    for frame in range(1, 4):
        ours = rotation(made.landmarks[0].astype(float), made.landmarks[frame].astype(float))
        theirs = rotation(driving.landmarks[0].astype(float), driving.landmarks[frame].astype(float))
        np.testing.assert_allclose(ours, theirs, atol=0.02)


@settings(max_examples=25, deadline=None)
@given(scale=st.floats(0.3, 4), x=st.floats(-300, 300), y=st.floats(-300, 300), rest=st.integers(-4, 3))
def test_place_and_scale_of_the_driver_do_not_matter(
    driving: FaceTrack, portrait: FaceTrack, scale: float, x: float, y: float, rest: int
) -> None:
    expected = retarget(driving, portrait, driving_rest_frame=rest)
    moved = track(driving.landmarks * scale + np.float32([x, y, 0]))
    made = retarget(moved, portrait, driving_rest_frame=rest)
    np.testing.assert_allclose(made.landmarks, expected.landmarks, atol=0.1)


@settings(max_examples=25, deadline=None)
@given(yaw=st.floats(-0.8, 0.8), roll=st.floats(-3, 3))
def test_rotations_are_found(face: np.ndarray, yaw: float, roll: float) -> None:
    points = face.astype(np.float64)
    found = rotation(points, turned(points, yaw, roll))
    np.testing.assert_allclose(
        points @ found.T - (points @ found.T).mean(0), centred(turned(points, yaw, roll)), atol=1e-6
    )
    assert np.linalg.det(found) == pytest.approx(1.0)


def centred(points: np.ndarray) -> np.ndarray:
    return points - points.mean(0)


def test_what_cannot_be_is_named(driving: FaceTrack, portrait: FaceTrack) -> None:
    with pytest.raises(InputError, match="reference: a face track of 4 frames"):
        retarget(driving, driving)
    with pytest.raises(InputError, match="rest frame 9"):
        retarget(driving, portrait, driving_rest_frame=9)
    with pytest.raises(InputError, match="no extent"):
        retarget(driving, track(np.zeros((1, 478, 3))))
