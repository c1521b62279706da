"""Real clips become prepared clips; what cannot be used is named and left out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_core.errors import InputError
from model_core.images import save_image
from model_core.training.clips import ClipDataset, list_clips
from model_core.training.config import DataConfig
from model_core.training.prepare import ClipSource, find_sources, prepare_clip, prepare_folder
from model_core.video.write import VideoWriter

Frames = Callable[..., np.ndarray]


def write(path: Path, frames: np.ndarray) -> Path:
    with VideoWriter(path, fps=25) as writer:
        writer.append(frames)
    return path


@pytest.fixture
def folder(tmp_path: Path, square_frames: Frames) -> Path:
    """A clip, a triple, a clip without a face, and things that are no clips."""
    folder = tmp_path / "clips"
    write(folder / "alone.mp4", square_frames(5))
    write(folder / "both" / "target.mp4", square_frames(4))
    write(folder / "both" / "driving.mp4", square_frames(4, size=128, side=64))
    write(folder / "empty.mp4", np.full((4, 96, 96, 3), 30, np.uint8))
    (folder / "damaged.mp4").write_bytes(b"not a video")
    (folder / "notes.txt").write_text("nothing")
    (folder / "half").mkdir()
    write(folder / "half" / "target.mp4", square_frames(1))
    return folder


def test_clips_and_triples_are_found_in_name_order(folder: Path, tmp_path: Path) -> None:
    found = [(source.name, source.driving is not None) for source in find_sources(folder)]
    assert found == [("alone", False), ("both", True), ("damaged", False), ("empty", False)]
    with pytest.raises(InputError, match="no video clips"):
        find_sources(tmp_path / "nowhere")


def test_bad_clips_are_left_out_with_a_warning_and_the_others_can_be_trained_on(
    folder: Path, tmp_path: Path, square_analyzer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    output = tmp_path / "prepared"
    with caplog.at_level(logging.WARNING):
        assert prepare_folder(folder, output, size=48, frames=4, analyzer=square_analyzer) == 2
    assert sorted(path.name for path in output.iterdir()) == ["alone.npz", "both.npz"]
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 2 and "damaged.mp4" in warnings[0] and "empty.mp4" in warnings[1]
    alone, both = (clip.load() for clip in list_clips(output))
    assert alone["images"].shape == (4, 48, 48, 3) and alone["images"].dtype == np.uint8
    assert alone["foreground"].shape == (4, 48, 48) and alone["landmarks"].shape == (4, 478, 3)
    assert "driving_landmarks" not in alone and both["driving_landmarks"].shape == (1, 4, 478, 3)
    item = ClipDataset(DataConfig(folder=str(output), frames=2), seed=0, length=4, consecutive=True)[1]
    assert item["frames"].shape == (2, 3, 48, 48)


def test_prepared_clips_are_kept(folder: Path, tmp_path: Path, square_analyzer: Any) -> None:
    output = tmp_path / "prepared"
    output.mkdir()
    for name in ("alone", "both", "empty", "damaged"):
        (output / f"{name}.npz").write_bytes(b"stays")
    assert prepare_folder(folder, output, size=48, frames=4, analyzer=square_analyzer) == 4
    assert {path.read_bytes() for path in output.iterdir()} == {b"stays"}


def test_the_frame_stands_while_the_face_moves(folder: Path, square_analyzer: Any) -> None:
    arrays = prepare_clip(ClipSource("alone", folder / "alone.mp4"), size=96, frames=4, analyzer=square_analyzer)
    left = arrays["landmarks"][:, :, 0].min(axis=1)
    steps = np.diff(left)
    assert (steps > 0.5).all() and np.ptp(steps) < 1.0  # the square moves by two pixels a frame
    widths = np.ptp(arrays["landmarks"][..., 0], axis=1)
    assert np.ptp(widths) < 2.0
    for image, marks in zip(arrays["images"], arrays["landmarks"], strict=True):
        x, y = marks[:, :2].mean(axis=0).astype(int)
        assert image[y, x].min() > 127  # the face lies on the bright square


def test_a_driver_of_another_length_is_named(folder: Path, square_analyzer: Any, square_frames: Frames) -> None:
    driving = write(folder / "both" / "driving.mp4", square_frames(3))
    source = ClipSource("both", folder / "both" / "target.mp4", driving)
    with pytest.raises(InputError, match=r"driving\.mp4: 3 frames, the target has 4"):
        prepare_clip(source, size=48, frames=8, analyzer=square_analyzer)


def test_a_photograph_is_a_clip_of_one_frame(tmp_path: Path, square_frames: Frames, square_analyzer: Any) -> None:
    save_image(square_frames(1)[0], tmp_path / "photos" / "one.png")
    assert prepare_folder(tmp_path / "photos", tmp_path / "ready", size=48, frames=4, analyzer=square_analyzer) == 1
    (clip,) = list_clips(tmp_path / "ready")
    arrays = clip.load()
    assert arrays["images"].shape == (1, 48, 48, 3) and arrays["landmarks"].shape == (1, 478, 3)
