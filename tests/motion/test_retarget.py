from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.errors import InputError
from model_core.motion.alignment import face_centre, face_size
from model_core.motion.components import LEFT_IRIS_CENTRE, OUTER_MOUTH, RINGS
from model_core.motion.expressions import expression_names
from model_core.motion.features import LOWER_LIP, UPPER_LIP, lip_gap
from model_core.motion.head import rotation, rotation_matrix, rotation_vector
from model_core.motion.response import Correction
from model_core.motion.retarget import Retargeted, Turning, retarget
from model_core.motion.strength import EXPRESSION_ONLY, HEAD_ONLY, MotionStrength
from model_core.types import Component, FaceTrack

UPPER_LID, LOWER_LID = 386, 374
BROW = RINGS[Component.LEFT_BROW]


def track(landmarks: np.ndarray, size: tuple[int, int] = (256, 256), **coefficients: float) -> FaceTrack:
    low, high = landmarks[..., :2].min(axis=1), landmarks[..., :2].max(axis=1)
    said = np.array([[coefficients.get(name, 0.0) for name in expression_names()]] * len(landmarks), np.float32)
    return FaceTrack(
        boxes=np.concatenate([low, high], axis=1).astype(np.float32),
        landmarks=landmarks.astype(np.float32),
        confidence=np.ones(len(landmarks), np.float32),
        detected=np.ones(len(landmarks), bool),
        size=size,
        blendshapes=said if coefficients else None,
    )


def turned(points: np.ndarray, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> np.ndarray:
    centre = face_centre(points)
    return centre + (points - centre) @ rotation_matrix(np.array([x, y, z])).T


def with_mouth(points: np.ndarray, gap: float) -> np.ndarray:
    """The face with its lips ``gap`` pixels apart."""
    made = points.astype(np.float64)
    change = gap - (made[LOWER_LIP[0], 1] - made[UPPER_LIP[0], 1])
    made[UPPER_LIP, 1] -= change / 2
    made[LOWER_LIP, 1] += change / 2
    return made


def with_eyes(points: np.ndarray, share: float) -> np.ndarray:
    """The face with both eyes open to a share, from the middle of each."""
    made = points.astype(np.float64)
    for eye in (Component.LEFT_EYE, Component.RIGHT_EYE):
        middle = made[RINGS[eye], 1].mean()
        made[RINGS[eye], 1] = middle + (made[RINGS[eye], 1] - middle) * share
    return made


def with_gaze(points: np.ndarray, across: float) -> np.ndarray:
    made = points.astype(np.float64)
    made[468:478, 0] += across
    return made


def driven(portrait: FaceTrack, *frames: np.ndarray, turning: Turning = "relative", **strength: float) -> Retargeted:
    """The portrait driven by frames of which the first is at rest."""
    driving = track(np.stack(frames))
    return retarget(driving, portrait, rest=driving.take([0]), strength=MotionStrength(**strength), turning=turning)


def opening(points: np.ndarray) -> np.ndarray:
    return np.asarray(points[..., LOWER_LID, 1] - points[..., UPPER_LID, 1])


@pytest.fixture(scope="module")
def portrait(face: np.ndarray) -> FaceTrack:
    """A longer face with a wide mouth and round eyes, elsewhere and larger."""
    points = with_eyes(face, 1.5) * (1.6, 2.0, 1.6) + (60, 20, 0)
    mouth = np.unique([*RINGS[Component.UPPER_LIP], *RINGS[Component.LOWER_LIP], *RINGS[Component.INNER_MOUTH]])
    middle = points[mouth].mean(0)
    points[mouth] = middle + (points[mouth] - middle) * (1.3, 1.0, 1.0)
    return track(points[None], (600, 512))


@pytest.fixture(scope="module")
def driving(face: np.ndarray) -> FaceTrack:
    """Four frames: the head turns and comes nearer, the mouth opens, the gaze wanders."""
    frames = [
        turned(with_gaze(with_mouth(face, 10 + 3 * t), t) * (1 + 0.05 * t), 0.05 * t, 0.1 * t, 0.04 * t)
        + (4 * t, -3 * t, 0)
        for t in range(4)
    ]
    return track(np.stack(frames))


def test_a_face_that_drives_itself_is_left_alone(driving: FaceTrack) -> None:
    made = retarget(driving, driving.take([0]), rest=driving.take([0]))
    free = np.setdiff1d(np.arange(478), np.concatenate([RINGS[Component.LEFT_EYE], RINGS[Component.RIGHT_EYE]]))
    np.testing.assert_allclose(made.track.landmarks[:, free], driving.landmarks[:, free], atol=0.3)
    assert not made.limited.any()


def test_at_rest_the_portrait_keeps_its_own_face(face: np.ndarray, portrait: FaceTrack) -> None:
    made = driven(portrait, face).track
    np.testing.assert_allclose(made.landmarks, portrait.landmarks, atol=0.01)
    assert made.size == portrait.size and made.label_maps is None


@pytest.mark.parametrize("share", [0.5, 1.0, 1.3])
def test_lids_open_to_the_driver_s_share(face: np.ndarray, portrait: FaceTrack, share: float) -> None:
    made = driven(portrait, face, with_eyes(face, share)).track.landmarks
    expected = (share - 0.15) / 0.85  # landmarkers leave some of a shut eye open
    assert opening(made[1]) / opening(portrait.landmarks[0]) == pytest.approx(expected, abs=0.03)


def test_lids_shut_when_the_driver_s_do(face: np.ndarray, portrait: FaceTrack) -> None:
    made = driven(portrait, face, with_eyes(face, 0.05)).track.landmarks
    assert abs(opening(made[1])) < 0.02 * opening(portrait.landmarks[0])


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_what_is_read_opens_no_lid_that_the_driver_shuts(
    face: np.ndarray, portrait: FaceTrack, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    """A portrait that reads as too far closed gets its lids opened, but for lids that are shut."""

    class TooClosed:
        def correct(self, change: np.ndarray, *_: object) -> Correction:
            return Correction(np.zeros_like(change), np.full((len(change), 1), -0.3))

        def misread_turn(self, change: np.ndarray, *_: object) -> np.ndarray:
            return np.zeros((len(change), 3))

    knowing = replace(portrait, readings=np.zeros((31, 54), np.float32))
    rest, blinking = track(face[None], jawOpen=0.0), track(with_eyes(face, share)[None], jawOpen=0.0)

    def gap(reference: FaceTrack) -> float:
        made = retarget(blinking, reference, rest=rest).track.landmarks[0]
        return float(np.linalg.norm(made[UPPER_LID] - made[LOWER_LID]))

    plain = gap(portrait)
    monkeypatch.setattr("model_core.motion.retarget.response_of", lambda readings: TooClosed())
    assert gap(knowing) == pytest.approx(plain, abs=1e-3) if share == 0 else 0 < gap(knowing) < plain


def test_closed_eyes_of_a_portrait_stay_closed(face: np.ndarray, portrait: FaceTrack) -> None:
    asleep = track(with_eyes(portrait.landmarks[0], 0.0)[None], portrait.size)
    made = driven(asleep, with_eyes(face, 0.6), face, with_eyes(face, 1.5)).track.landmarks
    assert np.abs(opening(made)).max() < 0.02 * opening(portrait.landmarks[0])


def test_a_driver_who_rests_with_closed_eyes_opens_no_eye_without_end(face: np.ndarray, portrait: FaceTrack) -> None:
    made = driven(portrait, with_eyes(face, 0.0), face).track.landmarks
    assert opening(made[1]) <= 1.61 * opening(portrait.landmarks[0])


def test_lips_that_touch_touch(face: np.ndarray, portrait: FaceTrack) -> None:
    made = driven(portrait, face, with_mouth(face, 0)).track.landmarks
    gap = lip_gap(made) / face_size(portrait.landmarks[0])
    assert gap[0].max() > 0.1 and gap[1].max() < 0.005


def test_an_open_mouth_is_its_own_at_rest_and_closes_with_the_driver_s(face: np.ndarray, portrait: FaceTrack) -> None:
    shut, wide = with_mouth(face, 6), track(with_mouth(portrait.landmarks[0], 60)[None], portrait.size)
    made = driven(wide, shut, with_mouth(face, 3), with_mouth(face, 0)).track.landmarks
    own = lip_gap(wide.landmarks[0])[4]
    gaps = lip_gap(made)[:, 4]
    assert gaps[0] == pytest.approx(own, abs=0.1)
    assert 0.3 * own < gaps[1] < 0.8 * own and gaps[2] < 0.02 * own


def test_lips_never_cross(face: np.ndarray, portrait: FaceTrack) -> None:
    thin = track(with_mouth(portrait.landmarks[0], 0)[None], portrait.size)
    made = driven(thin, with_mouth(face, 40), *(with_mouth(face, gap) for gap in (20, 10, 5, 0))).track.landmarks
    assert (made[:, LOWER_LIP[0], 1] - made[:, UPPER_LIP[0], 1] > -0.005 * face_size(portrait.landmarks[0])).all()


def test_irises_move_by_the_driver_s_share_of_the_eye(face: np.ndarray, portrait: FaceTrack) -> None:
    made = driven(portrait, face, with_gaze(face, 4)).track.landmarks
    theirs = np.ptp(face[RINGS[Component.LEFT_EYE], 0])
    ours = np.ptp(portrait.landmarks[0][RINGS[Component.LEFT_EYE], 0])
    iris = np.array([LEFT_IRIS_CENTRE, *RINGS[Component.LEFT_IRIS]])
    moved = made[1][iris] - made[0][iris]
    np.testing.assert_allclose(moved[:, 0], 4 * ours / theirs, atol=0.05)
    np.testing.assert_allclose(moved[:, 1], 0, atol=0.3)


def test_strengths_of_nothing_leave_the_portrait_as_it_is(driving: FaceTrack, portrait: FaceTrack) -> None:
    still = MotionStrength(head_rotation=0, head_translation=0, mouth=0, eyes=0, brows=0, gaze=0)
    made = retarget(driving, portrait, rest=driving.take([0]), strength=still).track
    np.testing.assert_allclose(made.landmarks, np.repeat(portrait.landmarks, 4, axis=0), atol=0.01)


@pytest.mark.parametrize(
    ("name", "marks"),
    [
        ("mouth", OUTER_MOUTH),
        ("eyes", [UPPER_LID]),
        ("brows", BROW),
        ("gaze", [LEFT_IRIS_CENTRE]),
    ],
)
def test_each_strength_moves_its_own_region(face: np.ndarray, portrait: FaceTrack, name: str, marks: list[int]) -> None:
    moved = with_gaze(with_eyes(with_mouth(face, 25), 0.6), 3)
    moved[BROW, 1] -= 6
    none = dict.fromkeys(("mouth", "eyes", "brows", "gaze"), 0.0)
    ways = []
    for strength in (0.0, 0.5, 1.0):
        made = driven(portrait, face, moved, **{**none, name: strength}).track.landmarks
        ways.append(np.linalg.norm((made[1] - made[0])[marks, :2], axis=1).mean())
    assert ways[0] < 0.05 * ways[2] and ways[2] > 1.5
    assert ways[1] == pytest.approx(ways[2] / 2, rel=0.2)


def test_head_and_expression_are_taken_apart(driving: FaceTrack, portrait: FaceTrack) -> None:
    rest = driving.take([0])
    head = retarget(driving, portrait, rest=rest, strength=HEAD_ONLY).track.landmarks
    turn = rotation(portrait.landmarks[0], head[3])
    unturned = head[3] @ turn
    scale = face_size(head[3]) / face_size(portrait.landmarks[0])
    own = portrait.landmarks[0] * scale
    np.testing.assert_allclose(unturned - unturned.mean(0), own - own.mean(0), atol=0.5)  # the portrait, turned
    face_only = retarget(driving, portrait, rest=rest, strength=EXPRESSION_ONLY).track.landmarks
    np.testing.assert_allclose(face_centre(face_only[3]), face_centre(portrait.landmarks[0]), atol=1.0)
    np.testing.assert_allclose(rotation(portrait.landmarks[0], face_only[3]), np.eye(3), atol=0.02)
    assert lip_gap(face_only[3]).max() > lip_gap(face_only[0]).max() + 5


@pytest.mark.parametrize(("turning", "expected"), [("relative", 0.5), ("absolute", 0.2)])
def test_a_portrait_in_three_quarter_view(face: np.ndarray, turning: Turning, expected: float) -> None:
    """It is turned by 0.3; the driver looks straight ahead at rest, then turns by 0.2."""
    portrait = track(turned(face, y=0.3)[None])
    made = driven(portrait, face.astype(np.float64), turned(face, y=0.2), turning=turning).track.landmarks
    assert rotation_vector(rotation(face, made[1]))[1] == pytest.approx(expected, abs=0.02)


def test_heads_turn_no_farther_than_the_mesh_allows(face: np.ndarray, portrait: FaceTrack) -> None:
    made = driven(portrait, face, turned(face, y=0.4), turned(face, y=1.4), turned(face, z=1.4))
    angle = np.linalg.norm(rotation_vector(rotation(portrait.landmarks[0], made.track.landmarks)), axis=1)
    assert made.limited.tolist() == [False, False, True, False]  # tilting hides nothing
    assert angle[2] < np.radians(56) and angle[3] == pytest.approx(1.4, abs=0.02)


def test_a_broken_track_tears_no_face(face: np.ndarray, portrait: FaceTrack) -> None:
    broken = face.astype(np.float64)
    broken[BROW] += (0, 500, 0)
    made = driven(portrait, face, broken)
    assert made.limited.tolist() == [False, True]
    way = np.linalg.norm(made.track.landmarks[1] - made.track.landmarks[0], axis=1)
    assert way.max() < 1.5 * face_size(portrait.landmarks[0])


def test_coefficients_speak_for_half_of_the_expression(face: np.ndarray, portrait: FaceTrack) -> None:
    rest, open_ = track(face[None], jawOpen=0.01), track(face[None], jawOpen=0.81)
    said = retarget(open_, portrait, rest=rest).track.landmarks[0]
    unsaid = retarget(replace(open_, blendshapes=None), portrait, rest=rest).track.landmarks[0]
    chin = said[152, 1] - portrait.landmarks[0][152, 1]
    assert chin > 0.1 * face_size(portrait.landmarks[0])
    np.testing.assert_allclose(unsaid, portrait.landmarks[0], atol=0.01)


@settings(max_examples=25, deadline=None)
@given(scale=st.floats(0.3, 4), x=st.floats(-300, 300), y=st.floats(-300, 300))
def test_place_and_scale_of_the_driver_do_not_matter(
    driving: FaceTrack, portrait: FaceTrack, scale: float, x: float, y: float
) -> None:
    expected = retarget(driving, portrait, rest=driving.take([0])).track
    moved = track(driving.landmarks * scale + np.float32([x, y, 0]))
    made = retarget(moved, portrait, rest=moved.take([0])).track
    np.testing.assert_allclose(made.landmarks, expected.landmarks, atol=0.1)


def test_what_cannot_be_is_named(driving: FaceTrack, portrait: FaceTrack) -> None:
    with pytest.raises(InputError, match="reference: a face track of 4 frames"):
        retarget(driving, driving, rest=driving.take([0]))
    with pytest.raises(InputError, match="driving at rest: a face track of 4 frames"):
        retarget(driving, portrait, rest=driving)
    with pytest.raises(InputError, match="no extent"):
        retarget(driving, track(np.zeros((1, 478, 3))), rest=driving.take([0]))
