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
from model_core.training.clips import ClipDataset, ClipFile, list_clips, write_clip
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


def times(output: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in sorted(output.iterdir())}


def test_prepared_clips_are_kept(folder: Path, tmp_path: Path, square_analyzer: Any) -> None:
    output = tmp_path / "prepared"
    assert prepare_folder(folder, output, size=48, frames=4, analyzer=square_analyzer) == 2
    before = times(output)
    assert prepare_folder(folder, output, size=48, frames=4, analyzer=square_analyzer) == 2
    assert times(output) == before and list(before) == ["alone.npz", "both.npz"]


def test_what_is_no_clip_does_not_count_as_one(folder: Path, tmp_path: Path, square_analyzer: Any) -> None:
    output = tmp_path / "prepared"
    output.mkdir()
    (output / "alone.npz").write_bytes(b"someone's")
    with pytest.raises(InputError, match=r"alone\.npz: cannot be read"):
        prepare_folder(folder, output, size=48, frames=4, analyzer=square_analyzer)
    assert (output / "alone.npz").read_bytes() == b"someone's"


@pytest.mark.parametrize("old", [False, True])
def test_other_settings_are_refused_before_any_work(
    folder: Path, tmp_path: Path, square_analyzer: Any, old: bool
) -> None:
    output = tmp_path / "prepared"
    prepare_folder(folder, output, size=48, frames=4, analyzer=square_analyzer)
    (output / "alone.npz").unlink()
    if old:  # from before clips knew how they were made
        write_clip(output / "both.npz", ClipFile(output / "both.npz").load())
    before = times(output)
    for changes, words in (({"size": 64}, "size 48 instead of 64"), ({"frames": 3}, "frames 4 instead of 3")):
        with pytest.raises(InputError, match=rf"both\.npz: was prepared with {words}; give the same settings, another"):
            prepare_folder(folder, output, **{"size": 48, "frames": 4, **changes}, analyzer=square_analyzer)
    assert times(output) == before
    assert prepare_folder(folder, output, size=48, frames=4, analyzer=square_analyzer) == 2


def test_a_triple_prepared_without_its_drivers_frames_is_named(
    folder: Path, tmp_path: Path, square_analyzer: Any
) -> None:
    prepare_folder(folder, tmp_path / "ready", size=48, frames=4, analyzer=square_analyzer)
    arrays = ClipFile(tmp_path / "ready" / "both.npz").load()
    del arrays["driving_images"]
    write_clip(tmp_path / "ready" / "both.npz", arrays)
    with pytest.raises(InputError, match=r"both\.npz: was prepared without the driver's frames"):
        prepare_folder(folder, tmp_path / "ready", size=48, frames=4, analyzer=square_analyzer)


def test_sources_that_share_a_stem_have_names_of_their_own(
    folder: Path, tmp_path: Path, square_analyzer: Any, square_frames: Frames
) -> None:
    """None is lost, and all are counted."""
    write(folder / "both.mp4", square_frames(6))
    write(folder / "both.mov", square_frames(7))
    write(folder / "both.mp4.mp4", square_frames(8))
    save_image(square_frames(1)[0], folder / "Alone.PNG")
    output = tmp_path / "ready"
    for _ in range(2):
        assert prepare_folder(folder, output, size=48, frames=9, analyzer=square_analyzer) == 6
    lengths = {path.name: len(ClipFile(path).load()["images"]) for path in output.iterdir()}
    assert lengths == {
        "both.npz": 4,
        "both.mp4.npz": 6,
        "both.mov.npz": 7,
        "both.mp4.mp4.npz": 8,
        "Alone.PNG.npz": 1,
        "alone.mp4.npz": 5,
    }


def test_a_source_that_comes_later_leaves_the_others_their_names(
    folder: Path, tmp_path: Path, square_analyzer: Any, square_frames: Frames
) -> None:
    output = tmp_path / "ready"
    prepare_folder(folder, output, size=48, frames=9, analyzer=square_analyzer)
    write(folder / "alone.mov", square_frames(7))
    assert prepare_folder(folder, output, size=48, frames=9, analyzer=square_analyzer) == 3
    assert sorted(path.name for path in output.iterdir()) == ["alone.mov.npz", "alone.npz", "both.npz"]


def test_another_folders_clip_of_the_same_name_is_not_taken_for_this_one(
    folder: Path, tmp_path: Path, square_analyzer: Any, square_frames: Frames
) -> None:
    prepare_folder(folder, tmp_path / "ready", size=48, frames=4, analyzer=square_analyzer)
    write(tmp_path / "more" / "alone.mp4", square_frames(3))
    with pytest.raises(InputError, match=r"alone\.npz: was made of another alone\.mp4 than .*more"):
        prepare_folder(tmp_path / "more", tmp_path / "ready", size=48, frames=4, analyzer=square_analyzer)


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
