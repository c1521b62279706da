from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.errors import FaceNotFoundError, InputError
from model_core.faces.analyze import ClipFaces, analyze_clip, analyze_frames
from model_core.faces.analyzer import FaceDetection
from model_core.faces.tracking import MissingPolicy

Detect = Callable[..., FaceDetection]
FRAME = np.zeros((48, 64, 3), np.uint8)


def test_frames_become_a_track(detection: Detect, scripted: type) -> None:
    analyzer = scripted([[detection(20 + t, 20, 10)] for t in range(4)])
    done: list[int] = []
    track = analyze_frames((FRAME for _ in range(4)), analyzer, name="clip", progress=done.append)
    assert len(track) == 4 and track.size == (48, 64)
    assert done == [1, 2, 3, 4]
    assert np.ptp(track.boxes[:, 0]) == 3


def test_tensors_in_the_cores_layout_are_taken_too(detection: Detect, scripted: type) -> None:
    analyzer = scripted([[detection(20, 20, 10)]] * 2)
    frames = torch.stack([torch.full((3, 48, 64), -1.0), torch.full((3, 48, 64), 1.0)])
    assert len(analyze_frames(frames, analyzer, name="clip")) == 2
    assert [int(frame.max()) for frame in analyzer.seen] == [0, 255]
    assert all(frame.shape == (48, 64, 3) and frame.dtype == np.uint8 for frame in analyzer.seen)


def test_settings_reach_the_tracker(detection: Detect, scripted: type) -> None:
    faces = [detection(15, 20, 20), detection(45, 20, 10)]
    track = analyze_frames([FRAME], scripted([faces]), name="clip", face_index=1)
    assert track.boxes[0, 0] == 40
    with pytest.raises(FaceNotFoundError, match="clip: the face is missing in frames 1 "):
        analyze_frames([FRAME] * 3, scripted([faces, [], faces]), name="clip", max_gap=0)
    with pytest.raises(FaceNotFoundError, match=r"cat\.jpg: no face found"):
        analyze_frames([FRAME], scripted([[]]), name="cat.jpg")


def test_smoothing_is_off_unless_asked_for(detection: Detect, scripted: type) -> None:
    script = [[detection(20 + t % 2, 20, 10)] for t in range(6)]
    exact = analyze_frames([FRAME] * 6, scripted(script), name="clip")
    assert np.array_equal(exact.landmarks, np.stack([faces[0].landmarks for faces in script]))
    calm = analyze_frames([FRAME] * 6, scripted(script), name="clip", smoothing=True)
    assert np.abs(np.diff(calm.landmarks, axis=0)).mean() < np.abs(np.diff(exact.landmarks, axis=0)).mean()


def test_cancelling_stops_at_once(detection: Detect, scripted: type) -> None:
    class StopError(Exception):
        pass

    def stop(done: int) -> None:
        raise StopError

    analyzer = scripted([[detection(20, 20, 10)]] * 3)
    with pytest.raises(StopError):
        analyze_frames([FRAME] * 3, analyzer, name="clip", progress=stop)
    assert len(analyzer.seen) == 1


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([], "clip: has no frames"),
        (torch.zeros(0, 3, 48, 64), "clip: has no frames"),
        ([FRAME, FRAME[:40]], "clip: frame 1 is 64x40, the frames before it 64x48"),
        ([FRAME, np.full((48, 64, 3), np.nan)], "clip, frame 1: NaN"),
        (torch.full((1, 3, 48, 64), torch.nan), "clip, frame 0: NaN"),
        ([FRAME[..., 0]], r"clip, frame 0: shape \(48, 64\) of uint8"),
        ([np.zeros((48, 64, 4), np.uint8)], r"clip, frame 0: shape \(48, 64, 4\)"),
        ([FRAME.astype(np.float32)], "clip, frame 0: .* of float32"),
    ],
)
def test_bad_frames_are_named(detection: Detect, scripted: type, frames: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        analyze_frames(frames, scripted([[detection(20, 20, 10)]] * 3), name="clip")


# --- frames without the face ---------------------------------------------------------------------------------

SEEN = st.lists(st.booleans(), min_size=1, max_size=24)


def wandering(detect: Detect, seen: list[bool]) -> list[list[FaceDetection]]:
    """A face whose x is its frame's number, where it is seen."""
    return [[detect(20 + number, 20, 12)] if visible else [] for number, visible in enumerate(seen)]


def xs(faces: ClipFaces) -> np.ndarray:
    return faces.track.boxes[:, [0, 2]].mean(axis=1) - 20


@settings(max_examples=60, deadline=None)
@given(seen=SEEN, policy=st.sampled_from(["interpolate", "hold", "skip", "error"]), smoothing=st.booleans())
def test_frames_and_track_stay_aligned(
    detection: Detect, scripted: type, seen: list[bool], policy: MissingPolicy, smoothing: bool
) -> None:
    def analyze() -> ClipFaces:
        analyzer = scripted(wandering(detection, seen))
        return analyze_clip(
            [FRAME] * len(seen), analyzer, name="clip", policy=policy, max_gap=len(seen), smoothing=smoothing
        )

    if not any(seen) or (policy == "error" and not all(seen)):
        with pytest.raises(FaceNotFoundError, match="^clip: "):
            analyze()
        return
    faces = analyze()
    kept = faces.kept.tolist()
    assert kept == ([n for n, visible in enumerate(seen) if visible] if policy == "skip" else list(range(len(seen))))
    assert len(faces.track) == len(faces.track.confidence) == len(kept)
    assert faces.detected.tolist() == seen
    assert ((faces.confidence > 0) == faces.detected).all()
    assert np.array_equal(faces.track.detected, faces.detected[kept])
    where_seen = faces.track.detected
    tolerance = 1e-3 if not smoothing else 1.5  # smoothing moves a face, but never onto another frame's place
    assert np.abs(xs(faces) - np.array(kept))[where_seen].max() < tolerance


@settings(max_examples=60, deadline=None)
@given(seen=SEEN.filter(any))
def test_filled_frames_hold_or_lie_between(detection: Detect, scripted: type, seen: list[bool]) -> None:
    known = np.flatnonzero(seen)
    frames = np.arange(len(seen))
    last = known[(np.searchsorted(known, frames, side="right") - 1).clip(0)]
    for policy, expected in (("hold", last), ("interpolate", np.clip(frames, known[0], known[-1]))):
        analyzer = scripted(wandering(detection, seen))
        faces = analyze_clip([FRAME] * len(seen), analyzer, name="clip", policy=policy, max_gap=len(seen))
        np.testing.assert_allclose(xs(faces), expected, atol=1e-3)


@pytest.mark.parametrize(("policy", "kept"), [("hold", None), ("interpolate", None), ("skip", [0, 3])])
def test_only_skipping_knows_no_longest_gap(
    detection: Detect, scripted: type, policy: MissingPolicy, kept: list[int] | None
) -> None:
    script = wandering(detection, [True, False, False, True])
    if kept is None:
        with pytest.raises(FaceNotFoundError, match="clip: the face is missing in frames 1-2"):
            analyze_clip([FRAME] * 4, scripted(script), name="clip", policy=policy, max_gap=1)
    else:
        faces = analyze_clip([FRAME] * 4, scripted(script), name="clip", policy=policy, max_gap=1)
        assert faces.kept.tolist() == kept
