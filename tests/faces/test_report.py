from __future__ import annotations

import numpy as np
import pytest

from model_core.faces.analyze import ClipFaces
from model_core.faces.report import describe_faces, plot_faces
from model_core.types import FaceTrack


@pytest.fixture
def faces() -> ClipFaces:
    confidence = np.float32([0.9, 0, 0, 0.5, 0.7, 0])
    detected = confidence > 0
    track = FaceTrack(np.zeros((6, 4)), np.zeros((6, 478, 3)), confidence, detected, (48, 64))
    return ClipFaces(track, np.arange(6), confidence, detected)


def test_the_report_names_unsure_and_filled_frames(faces: ClipFaces) -> None:
    text = describe_faces(faces, name="images", policy="interpolate")
    assert text.startswith("images: 6 frame(s) of 64x48, the face is seen in 3\n")
    assert "mean 0.70, lowest 0.50 in frame 3" in text
    assert "least sure: 3 (0.50), 4 (0.70), 0 (0.90)" in text
    assert "filled in between their neighbours: frames 1-2, 5 (3 of 6)" in text


@pytest.mark.parametrize(("policy", "said"), [("hold", "held from a neighbour: frames 1-2, 5"), ("skip", "left out")])
def test_the_report_says_what_was_done(faces: ClipFaces, policy: str, said: str) -> None:
    assert said in describe_faces(faces, name="images", policy=policy)


def test_nothing_filled_is_said_too(faces: ClipFaces) -> None:
    whole = ClipFaces(faces.track.take([0]), np.arange(1), faces.confidence[:1], faces.detected[:1])
    text = describe_faces(whole, name="images", policy="error")
    assert text.endswith("no frame had to be filled in")
    assert "least sure" not in text


def red(picture: np.ndarray) -> int:
    return int(((picture[..., 0] > 240) & (picture[..., 1] < 230) & (picture[..., 2] < 230)).sum())


def test_the_plot_marks_frames_without_the_face(faces: ClipFaces) -> None:
    picture = plot_faces(faces)
    assert picture.ndim == 3 and picture.shape[2] == 3 and picture.dtype == np.uint8
    whole = ClipFaces(faces.track, faces.kept, np.full(6, 0.8, np.float32), np.ones(6, bool))
    assert red(picture) > 5000 > 100 > red(plot_faces(whole))
