from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from model_core.errors import InputError
from model_core.motion.alignment import face_size
from model_core.motion.expressions import expression_names, expression_offsets, neutral_face
from model_core.motion.features import lip_gap
from model_core.motion.head import rotation, rotation_matrix, rotation_vector
from model_core.motion.response import probe_landmarks, response_of, shown_gaze, shown_lids
from model_core.motion.retarget import retarget
from model_core.types import FaceTrack

NAMES = expression_names()


def coefficients(**said: float) -> np.ndarray:
    return np.array([[said.get(name, 0.0) for name in NAMES]], np.float32)


def track(landmarks: np.ndarray, said: np.ndarray | None = None) -> FaceTrack:
    low, high = landmarks[..., :2].min(axis=1), landmarks[..., :2].max(axis=1)
    sure = np.ones(len(landmarks), np.float32)
    boxes = np.concatenate([low, high], axis=1).astype(np.float32)
    return FaceTrack(boxes, landmarks.astype(np.float32), sure, sure.astype(bool), (400, 400), None, said)


@pytest.fixture(scope="module")
def portrait() -> FaceTrack:
    return track((neutral_face() * 80 + 200)[None])


def reader(portrait: FaceTrack, *, gain: float, cross_talk: float = 0.0, nod: float = 0.0):  # type: ignore[no-untyped-def]
    """Reads jawOpen by the chin and a smile by the corners of the mouth, which lowers the jaw's.

    The last three columns are the pose: a jaw that drops by the face's size reads as a nod (radians).
    """

    def read(landmarks: np.ndarray) -> np.ndarray:
        way = (landmarks - portrait.landmarks[0]) / face_size(portrait.landmarks[0])
        jaw, wide = way[:, 152, 1], way[:, 291, 0] - way[:, 61, 0]
        made = np.full((len(landmarks), 54), 0.02)
        made[:, 51:] = (0.1, -0.2, 0.05)
        made[:, 51] += nod * jaw
        made[:, NAMES.index("jawOpen")] = 1 / (1 + np.exp(3 - gain * jaw + cross_talk * wide))
        for side in ("Left", "Right"):
            made[:, NAMES.index(f"mouthSmile{side}")] = 1 / (1 + np.exp(3 - 10 * wide))
        return made

    return read


def knowing(portrait: FaceTrack, read) -> FaceTrack:  # type: ignore[no-untyped-def]
    """The portrait with what is read on it."""
    return replace(portrait, readings=read(probe_landmarks(portrait)))


def jaw_read(portrait: FaceTrack, said: np.ndarray, read) -> float:  # type: ignore[no-untyped-def]
    rest = track(portrait.landmarks, coefficients())
    face = portrait.landmarks + expression_offsets(said) * np.float32(face_size(portrait.landmarks[0]))
    made = retarget(track(face, said), portrait, rest=rest).track.landmarks
    index = NAMES.index("jawOpen")
    return float((read(made) - read(portrait.landmarks))[0, index])


@pytest.mark.parametrize(("gain", "cross_talk"), [(4.0, 0.0), (8.0, 8.0)])
def test_what_reads_weakly_is_read_as_wanted(portrait: FaceTrack, gain: float, cross_talk: float) -> None:
    read = reader(portrait, gain=gain, cross_talk=cross_talk)
    said = coefficients(jawOpen=0.4, mouthSmileLeft=0.3, mouthSmileRight=0.3)
    before = jaw_read(portrait, said, read)
    after = jaw_read(knowing(portrait, read), said, read)
    assert before < 0.2 and abs(after - 0.4) < 0.6 * abs(before - 0.4)


def test_a_face_on_which_nothing_is_read_is_corrected_nowhere(portrait: FaceTrack) -> None:
    response = response_of(np.full((31, 54), 0.3))
    assert response is not None
    made = response.correct(np.zeros((1, 478, 3)), np.zeros((1, 1)), coefficients(jawOpen=1.0))
    np.testing.assert_allclose(made.offsets, 0, atol=1e-6)
    np.testing.assert_allclose(made.lids, 0, atol=1e-6)


def test_at_rest_nothing_is_corrected(portrait: FaceTrack) -> None:
    knows = knowing(portrait, reader(portrait, gain=4.0))
    rest = track(neutral_face()[None] * 50 + 100, coefficients(jawOpen=0.2))
    made = retarget(rest, knows, rest=rest).track.landmarks
    np.testing.assert_allclose(made, portrait.landmarks, atol=0.01)


def test_a_dropping_jaw_that_reads_as_a_nod_is_not_nodded(portrait: FaceTrack) -> None:
    said = coefficients(jawOpen=0.6)
    rest = track(portrait.landmarks, coefficients())
    size = face_size(portrait.landmarks[0])
    driver = track(portrait.landmarks + expression_offsets(said) * np.float32(size), said)

    def made(nod: float) -> np.ndarray:
        knows = knowing(portrait, reader(portrait, gain=4.0, nod=nod))
        return retarget(driver, knows, rest=rest).track.landmarks[0]

    def nods(face: np.ndarray) -> float:
        return float(rotation_vector(rotation(portrait.landmarks[0], face))[0])

    jaw = (made(0.0) - portrait.landmarks[0])[152, 1] / size
    assert jaw > 0.3 and nods(made(0.0)) == pytest.approx(0, abs=0.01)
    assert nods(made(0.2)) == pytest.approx(-0.2 * jaw, rel=0.2)
    assert nods(made(5.0)) == pytest.approx(-0.2, rel=0.05)  # bounded


def test_the_head_turns_as_the_analyser_reads_it(portrait: FaceTrack) -> None:
    rest = replace(track(portrait.landmarks, coefficients()), poses=np.float32([[0.1, 0.0, 0.0]]))
    driver = replace(rest, poses=np.float32([[0.1, 0.3, 0.0]]))
    ahead = retarget(driver, portrait, rest=rest).track
    expected = rotation_vector(rotation_matrix(np.array([-0.1, 0.0, 0.0])) @ rotation_matrix(np.array([0.1, 0.3, 0.0])))
    np.testing.assert_allclose(
        rotation_vector(rotation(portrait.landmarks[0], ahead.landmarks[0])), expected, atol=0.01
    )
    assert ahead.poses is None  # they were the driver's


def test_an_analyser_without_poses_corrects_no_turn(portrait: FaceTrack) -> None:
    readings = reader(portrait, gain=4.0, nod=0.5)(probe_landmarks(portrait))
    readings[:, 51:] = np.nan
    response = response_of(readings)
    assert response is not None
    assert not response.misread_turn(np.ones((2, 478, 3)), np.ones((2, 1))).any()


def test_corrections_are_bounded(portrait: FaceTrack) -> None:
    weak = response_of(reader(portrait, gain=4.0)(probe_landmarks(portrait)))
    assert weak is not None
    weak = replace(weak, slopes=np.eye(*weak.slopes.shape) * 3)
    made = weak.correct(np.zeros((1, 478, 3)), np.zeros((1, 1)), coefficients(jawOpen=1.0))
    jaw = expression_offsets(coefficients(jawOpen=1.0))
    np.testing.assert_allclose(made.offsets, 0.6 * jaw, atol=1e-4)
    blinking = weak.correct(np.zeros((1, 478, 3)), np.zeros((1, 1)), coefficients(eyeBlinkLeft=1.0, eyeBlinkRight=1.0))
    assert blinking.lids[0, 0] == pytest.approx(0.5)


def test_lips_that_touch_stay_shut(portrait: FaceTrack) -> None:
    knows = knowing(portrait, reader(portrait, gain=4.0))
    said, rest = coefficients(jawOpen=0.5), track(portrait.landmarks, coefficients())
    made = retarget(track(portrait.landmarks, said), knows, rest=rest).track.landmarks
    own = lip_gap(portrait.landmarks[0])
    assert lip_gap(made[0]).max() < own.max() + 0.05 * face_size(portrait.landmarks[0])


def test_frames_without_a_face_are_left_out(portrait: FaceTrack) -> None:
    read = reader(portrait, gain=4.0)

    readings = read(probe_landmarks(portrait))
    readings[3] = np.nan
    response = response_of(readings)
    assert response is not None and np.isfinite(response.slopes).all()
    readings[0] = np.nan
    assert response_of(readings) is None
    with pytest.raises(InputError, match="a face track of 2 frames"):
        probe_landmarks(portrait.take([0, 0]))


def test_lids_and_irises_move_twice_as_far_near_rest() -> None:
    lids = shown_lids([np.array([[0.0, 0.95, 1.0, -0.1]])])[0][0]
    np.testing.assert_allclose(lids, [0.0, 0.9, 1.0, 0.0], atol=0.01)
    near, far = (shown_gaze([np.array([[way, way]])])[0][0] for way in (0.01, 0.6))
    np.testing.assert_allclose(near, [0.0167, 0.02], atol=0.0003)
    assert (far < [0.36, 0.21]).all() and not shown_gaze([np.zeros((1, 2))])[0].any()
