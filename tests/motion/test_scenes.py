"""Cuts are seen, moving heads are not cuts, and every scene puts the face where the portrait's is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_core.errors import InputError
from model_core.motion.alignment import face_centre, face_size, rest_frame
from model_core.motion.scenes import MotionSettings, PlacedMotion, Scene, place_scenes, scene_starts
from model_core.types import FaceTrack


def moved(track: FaceTrack, by: np.ndarray, scale: float = 1.0) -> FaceTrack:
    """Every frame shifted by its row of ``by`` (F, 2)."""
    shift = np.concatenate([by, np.zeros((len(by), 1))], axis=1).astype(np.float32)
    landmarks = track.landmarks * scale + shift[:, None]
    ends = landmarks[..., :2].min(1), landmarks[..., :2].max(1)
    return replace(track, landmarks=landmarks, boxes=np.concatenate(ends, axis=1))


def test_one_scene_as_long_as_the_head_moves(make_track):
    side = np.ptp(make_track(1).boxes[0, [0, 2]])
    swing = np.stack([0.3 * side * np.arange(12), np.zeros(12)], axis=1)  # quick, but a head
    assert scene_starts(moved(make_track(12), swing)) == [0]
    assert scene_starts(make_track(1)) == [0]


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_a_cut_begins_a_scene_that_is_aligned_anew(make_track, scale):
    track = make_track(12)
    side = np.ptp(track.boxes[0, [0, 2]])
    jump = np.where(np.arange(12)[:, None] < 7, 0.0, [[1.5 * side, 0.5 * side]])
    first, second = moved(track, jump).take(range(7)), moved(track, jump, scale).take(range(7, 12))
    cut = replace(
        track,
        landmarks=np.concatenate([first.landmarks, second.landmarks]),
        boxes=np.concatenate([first.boxes, second.boxes]),
    )
    assert scene_starts(cut) == [0, 7]
    reference = make_track(1, size=128)
    scenes = place_scenes(cut, reference, MotionSettings())
    for scene in scenes:
        placed = scene.place.points(cut.landmarks[scene.start])
        assert np.abs(face_centre(placed) - face_centre(reference.landmarks[0])).max() < 0.01
        assert face_size(placed) == pytest.approx(face_size(reference.landmarks[0]), rel=1e-4)
        assert np.array_equal(scene.rest.landmarks[0], cut.landmarks[scene.start])
    assert len(place_scenes(cut, reference, MotionSettings(placing="absolute"))) == 1
    # the motion of a scene counts from its own rest
    placed = PlacedMotion(cut, scenes, reference, MotionSettings())
    for scene in scenes:
        made = placed.landmarks(scene.start, scene.start + 1)[0]
        np.testing.assert_allclose(made, reference.landmarks[0], atol=0.25)


@pytest.mark.parametrize("far", [0.0, 400.0])
def test_a_jump_is_measured_in_faces_wherever_they_are(make_track, far):
    track = make_track(8)
    low, high = track.boxes[0, :2], track.boxes[0, 2:]
    side = np.sqrt(np.prod(high - low))
    for faces, starts in ((0.5, [0]), (0.7, [0, 4])):
        by = np.where(np.arange(8)[:, None] < 4, 0.0, [[faces * side, 0.0]]) + far
        still = moved(track.take([0] * 8), by)
        assert scene_starts(still) == starts, faces
    assert scene_starts(replace(still, boxes=still.boxes - [[*low, *low]] * 8)) == [0, 4]


@given(
    starts=st.sets(st.integers(1, 19), max_size=4),
    first=st.integers(0, 19),
    count=st.integers(1, 20),
)
def test_parts_are_the_frames_asked_for_each_in_its_scene(make_track, starts, first, count):
    track = make_track(20)
    scenes = [Scene(start, None, None) for start in sorted({0, *starts})]
    placed = PlacedMotion(track, scenes, track.take([0]), MotionSettings())
    stop = min(first + count, 20)
    parts = placed.parts(first, stop)
    assert [frame for _, frames in parts for frame in frames] == list(range(first, stop))
    for scene, frames in parts:
        for frame in frames:
            assert scene.start == max(start for start in {0, *starts} if start <= frame)


def test_the_rest_frame_is_chosen(make_track):
    track, reference = make_track(6), make_track(1, size=128)
    (scene,) = place_scenes(track, reference, MotionSettings(rest_frame=3))
    assert np.array_equal(scene.rest.landmarks[0], track.landmarks[3])
    (scene,) = place_scenes(track, reference, MotionSettings(rest_frame="frontal"))
    assert np.array_equal(scene.rest.landmarks[0], track.landmarks[rest_frame(track)])
    for placing in ("retarget", "relative", "absolute"):
        with pytest.raises(InputError, match="rest frame 9 of a clip of 6 frames"):
            place_scenes(track, reference, MotionSettings(rest_frame=9, placing=placing))


def test_a_broken_track_is_limited_and_said(make_track):
    track, reference = make_track(4), make_track(1, size=128)
    wild = replace(track, landmarks=track.landmarks.copy())
    wild.landmarks[2, 100:110] += 500
    placed = PlacedMotion(wild, place_scenes(wild, reference, MotionSettings()), reference, MotionSettings())
    assert placed.limited().tolist() == [False, False, True, False]


def test_a_face_that_comes_back_elsewhere_is_no_cut(make_track):
    track = make_track(12)
    side = np.ptp(track.boxes[0, [0, 2]])
    away = moved(track, np.where(np.arange(12)[:, None] < 7, 0.0, [[2.0 * side, 0.0]]))
    assert scene_starts(replace(away, detected=np.arange(12) != 6)) == [0]
