from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.errors import FaceNotFoundError, InputError
from model_core.faces.analyzer import FaceDetection
from model_core.faces.tracking import GapPolicy, assign, track_face

Detect = Callable[..., FaceDetection]
SIZE = (480, 640)


def centres(track) -> np.ndarray:
    return (track.boxes[:, :2] + track.boxes[:, 2:]) / 2


def test_one_face_is_followed(detection: Detect) -> None:
    frames = [[detection(100 + 5 * t, 200)] for t in range(10)]
    track = track_face(frames, size=SIZE, name="clip")
    assert len(track) == 10 and track.size == SIZE and track.detected.all()
    assert track.landmarks.shape == (10, 478, 3) and track.landmarks.dtype == np.float32
    assert track.boxes.dtype == np.float32 and (track.confidence == np.float32(0.9)).all()
    assert np.array_equal(track.landmarks, np.stack([faces[0].landmarks for faces in frames]))
    assert track.label_maps is None


def test_the_index_counts_by_size(detection: Detect) -> None:
    frames = [[detection(100, 100, 60), detection(500, 100, 90), detection(300, 300, 120)]] * 4
    for index, x in enumerate((300, 500, 100)):
        assert centres(track_face(frames, size=SIZE, name="clip", face_index=index))[:, 0].tolist() == [x] * 4
    with pytest.raises(FaceNotFoundError, match=r"clip: frame 0 shows 3 face\(s\).*index 3; choose 0 to 2"):
        track_face(frames, size=SIZE, name="clip", face_index=3)


@pytest.mark.parametrize("gap", [0, 1, 3])
@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("order", [1, -1])
def test_two_people_who_cross_do_not_swap(detection: Detect, gap: int, index: int, order: int) -> None:
    """They walk through each other; for ``gap`` frames the nearer hides the other. Their landmarks look alike."""
    frames = []
    for t in range(41):
        right, left = detection(120 + 10 * t, 200, 100), detection(520 - 10 * t, 205, 99.9)
        hidden = abs(t - 20) <= gap // 2 if gap else False
        frames.append(([right] if hidden else [right, left])[::order])
    track = track_face(frames, size=SIZE, name="clip", face_index=index)
    expected = np.array([120 + 10 * t if index == 0 else 520 - 10 * t for t in range(41)])
    np.testing.assert_allclose(centres(track)[:, 0], expected, atol=1e-3)
    assert (~track.detected).sum() == (0 if index == 0 or gap == 0 else 2 * (gap // 2) + 1)


@settings(max_examples=30, deadline=None)
@given(
    first=st.tuples(st.floats(-12, 12), st.floats(-6, 6)),
    second=st.tuples(st.floats(-12, 12), st.floats(-6, 6)),
    swap=st.lists(st.booleans(), min_size=31, max_size=31),
)
def test_faces_of_different_look_are_never_mixed_up(
    detection: Detect, first: tuple[float, float], second: tuple[float, float], swap: list[bool]
) -> None:
    """Any straight ways, which meet at frame 15, in any order of detection."""
    frames = []
    for t in range(31):
        faces = [
            detection(320 + first[0] * (t - 15), 240 + first[1] * (t - 15), 110, look=1),
            detection(325 + second[0] * (t - 15), 235 + second[1] * (t - 15), 90, look=2),
        ]
        frames.append(faces[::-1] if swap[t] else faces)
    track = track_face(frames, size=SIZE, name="clip")
    expected = [next(face for face in faces if np.ptp(face.box[::2]) > 100).landmarks for faces in frames]
    assert np.array_equal(track.landmarks, np.stack(expected))


def test_a_short_gap_is_interpolated(detection: Detect) -> None:
    frames = [[detection(100 + 10 * t, 200)] if t not in (3, 4, 5) else [] for t in range(9)]
    track = track_face(frames, size=SIZE, name="clip", max_gap=3)
    np.testing.assert_allclose(centres(track)[:, 0], [100 + 10 * t for t in range(9)], atol=1e-3)
    assert track.detected.tolist() == [True] * 3 + [False] * 3 + [True] * 3
    assert (track.confidence[3:6] == 0).all() and (track.confidence[:3] > 0).all()


def test_gaps_can_be_held_or_forbidden(detection: Detect) -> None:
    frames = [[], [detection(100, 200)], [], [], [detection(130, 200)], []]
    held = track_face(frames, size=SIZE, name="clip", policy="hold")
    np.testing.assert_allclose(centres(held)[:, 0], [100, 100, 100, 100, 130, 130], atol=1e-3)
    filled = track_face(frames, size=SIZE, name="clip")
    np.testing.assert_allclose(centres(filled)[:, 0], [100, 100, 110, 120, 130, 130], atol=1e-3)
    with pytest.raises(FaceNotFoundError, match="clip: the face is missing in frames 0, 2-3, 5"):
        track_face(frames, size=SIZE, name="clip", policy="error")


def test_a_long_gap_names_its_frames(detection: Detect) -> None:
    frames = [[detection(100, 200)] if not (7 <= t < 13 or t in (20, 21)) else [] for t in range(30)]
    with pytest.raises(FaceNotFoundError, match=r"holiday\.mp4: .* frames 7-12 \(counted from 0, of 30\)") as caught:
        track_face(frames, size=SIZE, name="holiday.mp4", max_gap=5)
    assert "20" not in str(caught.value)
    assert not track_face(frames, size=SIZE, name="holiday.mp4", max_gap=6).detected[7:13].any()


def test_no_face_at_all_names_the_input() -> None:
    with pytest.raises(FaceNotFoundError, match=r"cat\.jpg: no face found in any of its 1 frame"):
        track_face([[]], size=SIZE, name="cat.jpg")
    with pytest.raises(InputError, match=r"clip: has no frames"):
        track_face([], size=SIZE, name="clip")


def test_a_cut_is_survived_by_the_only_face(detection: Detect) -> None:
    frames = [[detection(80, 80, 60)]] * 5 + [[detection(500, 400, 150)]] * 5
    track = track_face(frames, size=SIZE, name="clip", max_gap=0)
    assert centres(track)[:, 0].tolist() == [80] * 5 + [500] * 5


def test_two_people_who_meet_and_turn_back_do_not_swap(detection: Detect) -> None:
    """Their ways say that they pass each other; their looks say that they do not."""
    frames = []
    for t in range(31):
        apart = 8 * abs(t - 15)
        frames.append([detection(320 - apart, 200, look=1), detection(320 + apart, 200, 99.9, look=2)])
    track = track_face(frames, size=SIZE, name="clip")
    assert np.array_equal(track.landmarks, np.stack([faces[0].landmarks for faces in frames]))


def test_after_a_cut_with_two_people_nobody_is_guessed(detection: Detect) -> None:
    frames = [[detection(100, 200, 120), detection(500, 200, 110)]] * 5 + [[detection(300, 400, 115)]] * 8
    with pytest.raises(FaceNotFoundError, match="frames 5-12"):
        track_face(frames, size=SIZE, name="clip")


def test_a_bystander_is_not_taken_for_the_lost_face(detection: Detect) -> None:
    wanted, bystander = detection(100, 200, 120), detection(500, 200, 100)
    frames = [[wanted, bystander]] * 5 + [[bystander]] * 8
    with pytest.raises(FaceNotFoundError, match="frames 5-12"):
        track_face(frames, size=SIZE, name="clip")


def test_label_maps_of_a_parsing_analyser_are_kept(detection: Detect) -> None:
    maps = [np.full(SIZE, value, np.uint8) for value in range(3)]
    frames = [[detection(100, 200, label_map=maps[0])], [], [detection(100, 200, label_map=maps[2])]]
    track = track_face(frames, size=SIZE, name="clip")
    assert track.label_maps is not None and track.label_maps[:, 0, 0].tolist() == [0, 0, 2]


@pytest.mark.parametrize(("policy", "between"), [("interpolate", 0.5), ("hold", 0.2)])
def test_blendshapes_are_filled_in_as_landmarks_are(detection: Detect, policy: GapPolicy, between: float) -> None:
    first, last = (np.full(51, value, np.float32) for value in (0.2, 0.8))
    frames = [[detection(100, 200, blendshapes=first)], [], [detection(100, 200, blendshapes=last)]]
    track = track_face(frames, size=SIZE, name="clip", policy=policy)
    assert track.blendshapes is not None and track.blendshapes.dtype == np.float32
    np.testing.assert_allclose(track.blendshapes, np.outer([0.2, between, 0.8], np.ones(51)), rtol=1e-6)
    taken = track.take([2, 0]).blendshapes
    assert taken is not None and taken[:, 0].tolist() == pytest.approx([0.8, 0.2])


def test_poses_are_filled_in_and_taken(detection: Detect) -> None:
    first, last = np.float32([0.0, 0.2, 0.0]), np.float32([0.0, 0.4, 0.0])
    frames = [[detection(100, 200, pose=first)], [], [detection(100, 200, pose=last)]]
    track = track_face(frames, size=SIZE, name="clip")
    assert track.poses is not None
    np.testing.assert_allclose(track.poses[:, 1], [0.2, 0.3, 0.4], rtol=1e-6)
    assert (
        track.take([2]).poses is not None
        and track_face([*frames, [detection(100, 200)]], size=SIZE, name="clip").poses is None
    )


def test_one_detection_without_blendshapes_leaves_the_clip_without(detection: Detect) -> None:
    """A coefficient that nobody read is unknown; a guess would drive a face."""
    read = np.full(51, 0.5, np.float32)
    frames = [[detection(100, 200, blendshapes=read)], [detection(100, 200)], [detection(100, 200, blendshapes=read)]]
    assert track_face(frames, size=SIZE, name="clip").blendshapes is None
    bystander = detection(500, 200, 50)
    frames = [[detection(100, 200, blendshapes=read), bystander]] * 3
    assert track_face(frames, size=SIZE, name="clip").blendshapes is not None  # somebody else's do not count


@pytest.mark.parametrize(("setting", "message"), [({"policy": "guess"}, "gap policy"), ({"max_gap": -1}, "max_gap")])
def test_bad_settings_are_named(detection: Detect, setting: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        track_face([[detection(1, 1)]], size=SIZE, name="clip", **setting)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 4).flatmap(
        lambda width: st.lists(
            st.lists(st.one_of(st.just(np.inf), st.integers(0, 20).map(float)), min_size=width, max_size=width),
            min_size=0,
            max_size=4,
        )
    )
)
def test_the_assignment_is_the_best_there_is(rows: list[list[float]]) -> None:
    """Against trying out every assignment."""
    width = len(rows[0]) if rows else 0
    slots = [*range(width), *[None] * len(rows)]
    best = (len(rows), 0.0)
    for choice in set(itertools.permutations(slots, len(rows))):
        total = sum(row[c] for row, c in zip(rows, choice, strict=True) if c is not None)
        if np.isfinite(total):
            best = min(best, (choice.count(None), total))
    made = assign(tuple(map(tuple, rows)))
    taken = [column for column in made if column is not None]
    assert len(set(taken)) == len(taken)
    assert (made.count(None), sum(row[c] for row, c in zip(rows, made, strict=True) if c is not None)) == best
