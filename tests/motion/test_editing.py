from __future__ import annotations

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.errors import InputError
from model_core.motion.alignment import face_centre, face_size
from model_core.motion.components import LEFT_IRIS_CENTRE, RIGHT_IRIS_CENTRE, RINGS
from model_core.motion.editing import EDITABLE, ExpressionEdit, edited, keyed_amounts
from model_core.motion.expressions import expression_names
from model_core.motion.features import LOWER_LIP, UPPER_LIP
from model_core.motion.head import rotation, rotation_vector
from model_core.motion.retarget import retarget
from model_core.motion.scenes import MotionSettings, PlacedMotion, place_scenes
from model_core.motion.signals import make_signal
from model_core.types import EDIT_COLUMNS, Component, FaceTrack

UPPER_LIDS = {"left": 386, "right": 159}
LOWER_LIDS = {"left": 374, "right": 145}
CORNERS_OF_MOUTH = [61, 291]
MOST = dict.fromkeys(EDITABLE, 1.0) | {"zoom": 2.0, "yaw": 40.0, "pitch": 40.0, "roll": 40.0}


@pytest.fixture(scope="module")
def portrait(face: np.ndarray) -> FaceTrack:
    low, high = face[:, :2].min(axis=0), face[:, :2].max(axis=0)
    return FaceTrack(
        np.concatenate([low, high])[None], face[None], np.ones(1, np.float32), np.ones(1, bool), size=(256, 256)
    )


def shown(portrait: FaceTrack, **sliders: float) -> np.ndarray:
    """The portrait's landmarks (478, 3) with an edit."""
    track = edited(portrait, ExpressionEdit(**sliders))
    return retarget(track, portrait, rest=portrait).track.landmarks[0].astype(np.float64)


def moved(portrait: FaceTrack, **sliders: float) -> np.ndarray:
    """By how much an edit moves the landmarks, in face sizes."""
    return np.asarray((shown(portrait, **sliders) - shown(portrait)) / face_size(portrait.landmarks[0]))


def lips_apart(points: np.ndarray) -> float:
    return float((points[LOWER_LIP[0], 1] - points[UPPER_LIP[0], 1]).mean())


def test_no_edit_is_no_change(portrait: FaceTrack) -> None:
    np.testing.assert_array_equal(shown(portrait), retarget(portrait, portrait, rest=portrait).track.landmarks[0])
    assert not ExpressionEdit().values.any() and ExpressionEdit().values.shape == (EDIT_COLUMNS,)


def test_every_slider_moves_something_and_stays_within_a_face(portrait: FaceTrack) -> None:
    for name in EDITABLE:
        length = np.linalg.norm(moved(portrait, **{name: MOST[name]}), axis=1)
        assert 0.004 < length.max() < 2.2, name


def test_every_slider_is_a_bounded_setting() -> None:
    assert {field.name for field in dataclasses.fields(ExpressionEdit)} == set(EDITABLE)
    for name in EDITABLE:
        with pytest.raises(InputError, match=name):
            ExpressionEdit(**{name: 41.0})
        with pytest.raises(InputError, match=name):
            ExpressionEdit(**{name: float("nan")})


def test_the_mouth_opens_and_smiles(portrait: FaceTrack) -> None:
    opened = lips_apart(shown(portrait, jaw_open=1)) - lips_apart(shown(portrait))
    assert opened > 0.15 * face_size(portrait.landmarks[0])
    lifted = moved(portrait, smile=1)[CORNERS_OF_MOUTH]
    assert (lifted[:, 1] < -0.01).all() and lifted[1, 0] - lifted[0, 0] > 0.01  # up, and apart
    assert (moved(portrait, smile=-1)[CORNERS_OF_MOUTH, 1] > 0.01).all()
    assert moved(portrait, mouth_side=1)[CORNERS_OF_MOUTH, 0].mean() > 0.01  # the person's left is the picture's right


@pytest.mark.parametrize(("side", "other"), [("left", "right"), ("right", "left")])
def test_an_eye_shuts_alone_and_opens_wide(portrait: FaceTrack, side: str, other: str) -> None:
    def opening(points: np.ndarray, which: str) -> float:
        return float(points[LOWER_LIDS[which], 1] - points[UPPER_LIDS[which], 1])

    still, shut, wide = shown(portrait), shown(portrait, **{f"eye_{side}": -1}), shown(portrait, **{f"eye_{side}": 1})
    assert abs(opening(shut, side)) < 0.01 * face_size(still)
    assert opening(shut, other) == pytest.approx(opening(still, other))
    assert opening(wide, side) > 1.2 * opening(still, side)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_brow_goes_up_and_down_alone(portrait: FaceTrack, side: str) -> None:
    own, other = (RINGS[brow] for brow in (Component.LEFT_BROW, Component.RIGHT_BROW))
    if side == "right":
        own, other = other, own
    up, down = (moved(portrait, **{f"brow_{side}": value}) for value in (1, -1))
    assert up[own, 1].mean() < -0.005 and down[own, 1].mean() > 0.005
    assert np.abs(up[other, 1]).mean() < 0.3 * np.abs(up[own, 1]).mean()


def test_the_eyes_look_where_the_sliders_say(portrait: FaceTrack) -> None:
    irises = [LEFT_IRIS_CENTRE, RIGHT_IRIS_CENTRE]
    right, up = moved(portrait, gaze_x=1)[irises], moved(portrait, gaze_y=1)[irises]
    assert (right[:, 0] > 0.02).all() and np.ptp(right[:, 0]) < 0.2 * right[0, 0]  # both alike
    assert (up[:, 1] < -0.01).all()
    np.testing.assert_allclose(moved(portrait, gaze_x=-1)[irises, 0], -right[::-1, 0], atol=5e-3)
    assert (moved(portrait, gaze_y=-1)[irises, 1] > 0.01).all()


@pytest.mark.parametrize(
    ("slider", "axis", "sign"), [("yaw", 1, -1), ("pitch", 0, -1), ("roll", 2, 1)]
)  # x right, y down, z away from the viewer: the nose, in front, goes right and up
def test_the_head_turns_by_the_very_degrees(portrait: FaceTrack, slider: str, axis: int, sign: int) -> None:
    turn = np.degrees(rotation_vector(rotation(shown(portrait), shown(portrait, **{slider: 20}))[None])[0])
    assert np.linalg.norm(turn) == pytest.approx(20, abs=0.1)
    assert sign * turn[axis] > 19.5  # about the head's own axes; the drawn face's are a little off the picture's


def test_the_head_moves_and_comes_nearer(portrait: FaceTrack) -> None:
    way = face_centre(shown(portrait, move_x=0.5, move_y=0.25)) - face_centre(shown(portrait))
    np.testing.assert_allclose(way[:2] / face_size(portrait.landmarks[0]), (0.5, -0.25), atol=1e-3)
    assert face_size(shown(portrait, zoom=1.5)) == pytest.approx(1.5 * face_size(shown(portrait)), rel=1e-3)


def test_edits_add_up_over_time_and_leave_the_driver_as_it_is(portrait: FaceTrack) -> None:
    first = edited(portrait, ExpressionEdit(smile=0.5), np.array([0.0, 0.5, 1.0]))
    both = edited(first, ExpressionEdit(jaw_open=0.4))
    assert len(first) == 3 and first.edits is not None and both.edits is not None
    np.testing.assert_allclose(first.edits[:, expression_names().index("mouthSmileLeft")], (0, 0.25, 0.5))
    np.testing.assert_allclose(both.edits - first.edits, np.repeat(ExpressionEdit(jaw_open=0.4).values[None], 3, 0))
    np.testing.assert_array_equal(both.landmarks, np.repeat(portrait.landmarks, 3, 0))
    np.testing.assert_array_equal(both.take([2]).edits, both.edits[2:])


def test_an_edit_lies_on_top_of_a_driver_s_motion(portrait: FaceTrack) -> None:
    driver = portrait.take([0, 0])
    talking = driver.landmarks.copy()
    talking[1, LOWER_LIP, 1] += 12
    driver = replace(driver, landmarks=talking)
    alone = retarget(driver, portrait, rest=portrait).track.landmarks
    on_top = retarget(edited(driver, ExpressionEdit(gaze_x=1, smile=0.5)), portrait, rest=portrait).track
    assert on_top.edits is None  # they are in the landmarks now
    assert lips_apart(alone[1]) - lips_apart(alone[0]) == pytest.approx(
        lips_apart(on_top.landmarks[1]) - lips_apart(on_top.landmarks[0]), rel=0.2
    )
    assert (on_top.landmarks[:, LEFT_IRIS_CENTRE, 0] > alone[:, LEFT_IRIS_CENTRE, 0] + 1).all()


def test_settings_edit_every_frame_and_need_retargeting(portrait: FaceTrack) -> None:
    chosen = MotionSettings(edit=ExpressionEdit(smile=1))
    placed = PlacedMotion(portrait, place_scenes(portrait, portrait, chosen), portrait, chosen)
    np.testing.assert_allclose(placed.landmarks(0, 1)[0], shown(portrait, smile=1), atol=1e-3)
    with pytest.raises(InputError, match="edit.*retarget"):
        MotionSettings(edit=ExpressionEdit(smile=1), placing="absolute")
    relative = MotionSettings(placing="relative")
    smiling = edited(portrait, ExpressionEdit(smile=1))
    with pytest.raises(InputError, match="edited expressions.*retarget"):
        PlacedMotion(smiling, place_scenes(smiling, portrait, relative), portrait, relative).landmarks(0, 1)


def test_edits_without_a_portrait_to_put_them_on_are_refused(portrait: FaceTrack) -> None:
    with pytest.raises(InputError, match="edited expressions.*framed_track to reference"):
        make_signal("parsing_map", edited(portrait, ExpressionEdit(smile=1)))


def test_a_drawn_signal_shows_the_edit(portrait: FaceTrack) -> None:
    plain, open_mouth = (
        make_signal("parsing_map", track, reference=portrait)
        for track in (portrait, edited(portrait, ExpressionEdit(jaw_open=1)))
    )
    assert plain.landmarks is not None and open_mouth.landmarks is not None
    assert lips_apart(open_mouth.landmarks[0]) > lips_apart(plain.landmarks[0]) + 5
    assert not np.array_equal(plain.frames.numpy(), open_mouth.frames.numpy())


def test_amounts_that_do_not_belong_to_the_track_are_refused(portrait: FaceTrack) -> None:
    with pytest.raises(InputError, match=r"\(2,\) for a track of 3"):
        edited(portrait.take([0, 0, 0]), ExpressionEdit(), np.ones(2))


def test_keys_are_met_and_between_them_it_eases() -> None:
    amounts = keyed_amounts("2: 0.5, 4: 1\n6: -1", 9)
    np.testing.assert_allclose(amounts, (0.5, 0.5, 0.5, 0.75, 1, 0, -1, -1, -1))
    assert keyed_amounts(" ", 3).tolist() == [1, 1, 1]


@pytest.mark.parametrize("keys", ["1", "a: 1", "2: 1, 1: 0", "0: 1, 0: 2", "-1: 1", "0: nan", "0: 3", "0: 1: 2"])
def test_keys_that_say_nothing_are_refused_by_what_they_are(keys: str) -> None:
    with pytest.raises(InputError, match="keys"):
        keyed_amounts(keys, 5)


@settings(max_examples=40, deadline=None)
@given(
    sliders=st.fixed_dictionaries({name: st.floats(0, 1) for name in ("jaw_open", "pucker", "squint", "brow_inner")}),
    signed=st.fixed_dictionaries({name: st.floats(-1, 1) for name in ("smile", "eye_left", "gaze_x", "gaze_y")}),
    yaw=st.floats(-40, 40),
)
def test_whatever_the_sliders_say_landmarks_are_finite_and_lids_never_cross(
    face: np.ndarray, sliders: dict[str, float], signed: dict[str, float], yaw: float
) -> None:
    low, high = face[:, :2].min(axis=0), face[:, :2].max(axis=0)
    own = FaceTrack(np.concatenate([low, high])[None], face[None], np.ones(1, np.float32), np.ones(1, bool), (256, 256))
    points = shown(own, **sliders, **signed)
    assert np.isfinite(points).all()
    for side in ("left", "right"):
        assert points[LOWER_LIDS[side], 1] >= points[UPPER_LIDS[side], 1] - 0.02 * face_size(face)
    assert np.isfinite(shown(own, **sliders, yaw=yaw)).all()
