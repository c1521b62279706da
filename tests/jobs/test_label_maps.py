from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_core.faces.analyzer import FaceDetection
from model_core.jobs import VideoJob, faces
from model_core.jobs import label_maps as stored_maps
from model_core.jobs.faces import FaceSettings, find_faces, follow_driving_face
from model_core.jobs.folder import JobFolder
from model_core.jobs.run import job_digest
from model_core.models import PortraitModel
from model_core.motion.scenes import MotionSettings, PlacedMotion
from model_core.types import FaceTrack


class Parsing:
    """An analyser that parses pixels: its label map says the frame's number."""

    def __init__(self, analyzer: Any, *, lost: int | None = None) -> None:
        self.analyzer, self.frames, self.lost = analyzer, 0, lost

    def detect(self, frame: np.ndarray) -> list[FaceDetection]:
        number, self.frames = self.frames, self.frames + 1
        if number == self.lost:
            return []
        labels = np.full(frame.shape[:2], number, np.uint8)
        labels[: number + 1, :2] = 255 - number
        return [dataclasses.replace(face, label_map=labels) for face in self.analyzer.detect(frame)]


@pytest.fixture
def found(job: VideoJob, tmp_path: Path, square_analyzer: Any, make_track: Callable[..., FaceTrack]) -> Any:
    def find(analyzer: Any) -> Any:
        with JobFolder.opened(tmp_path / "job") as place:
            find_faces(place, job.driving, analyzer, limit=None)
            reference = make_track(1)
            return follow_driving_face(place, job.driving, FaceSettings(), reference=reference, motion=MotionSettings())

    return find


def test_label_maps_come_back_frame_by_frame(found: Any, square_analyzer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faces, "BLOCK", 8)  # three blocks of 20 frames
    face = found(Parsing(square_analyzer, lost=10))
    maps = face.track.take(range(6, 18)).label_maps
    assert maps is not None and maps.dtype == np.uint8 and len(maps) == 12
    assert maps[:, -1, -1].tolist() == [6, 7, 8, 9, 9, 11, 12, 13, 14, 15, 16, 17]  # the gap shows the one before
    assert (maps[0][:7, :2] == 249).all() and (maps[0][7:, :2] == 6).all()
    assert all(scene.rest.label_maps is None for scene in face.scenes)


def test_where_a_face_goes_is_known_without_its_label_maps(
    found: Any, square_analyzer: Any, make_track: Callable[..., FaceTrack], monkeypatch: pytest.MonkeyPatch
) -> None:
    face = found(Parsing(square_analyzer))
    placed = PlacedMotion(face.track, face.scenes, make_track(1), MotionSettings())
    whole = face.track.take(range(4, 9))
    read: list[object] = []
    monkeypatch.setattr(stored_maps, "read", lambda *of: read.append(of))
    landmarks = placed.landmarks(4, 9)
    assert len(landmarks) == 5 and len(placed.limited()) == len(placed) and not read
    bare = face.track.take(range(4, 9), label_maps=False)
    assert bare.label_maps is None and not read
    np.testing.assert_array_equal(bare.landmarks, whole.landmarks)


def test_another_analyser_looks_for_the_faces_again(
    job: VideoJob, tiny_model: PortraitModel, square_analyzer: Any, tmp_path: Path
) -> None:
    digests = set()
    for kind in ("facer", "facer_person"):
        analyzer = Parsing(square_analyzer)
        analyzer.kind = kind  # type: ignore[attr-defined]
        digests.add(job_digest(job, model=tiny_model, analyzer=analyzer))
    assert len(digests) == 2


def test_an_analyser_that_parses_nothing_stores_nothing(found: Any, square_analyzer: Any) -> None:
    assert found(square_analyzer).track.take(range(20)).label_maps is None
