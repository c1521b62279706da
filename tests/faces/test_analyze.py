from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from model_core.errors import FaceNotFoundError, InputError
from model_core.faces.analyze import analyze_frames
from model_core.faces.analyzer import FaceDetection

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
