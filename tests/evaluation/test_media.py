"""Cases of real media: what is a clip and what a portrait, and which frames come out of a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model_core.errors import FaceNotFoundError, InputError
from model_core.evaluation.cases import Pair
from model_core.evaluation.media import (
    cross_pair,
    find_media,
    own_portrait,
    read_clip,
    read_portrait,
    self_case,
    spread_pairs,
)
from model_core.evaluation.outcome import Outcome
from model_core.evaluation.scores import Scores
from model_core.images import save_image
from model_core.video.write import VideoWriter


def write_clip(path: Path, frames: np.ndarray) -> Path:
    with VideoWriter(path, fps=25) as writer:
        writer.append(frames)
    return path


def test_videos_and_pictures_are_told_apart_by_their_names(tmp_path: Path) -> None:
    for name in ("b.mp4", "A.WEBM", "c.jpg", "d.PNG", "notes.txt", "moving.gif"):
        (tmp_path / name).touch()
    (tmp_path / "folder.mp4").mkdir()
    videos, pictures = find_media(tmp_path, option="--clips")
    assert [path.name for path in videos] == ["A.WEBM", "b.mp4", "moving.gif"]
    assert [path.name for path in pictures] == ["c.jpg", "d.PNG"]


def test_a_folder_without_media_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--clips .*: holds no videos and no pictures \(.avi, "):
        find_media(tmp_path, option="--clips")
    with pytest.raises(InputError, match="--portraits .*no such folder"):
        find_media(tmp_path / "none", option="--portraits")


@pytest.mark.parametrize(("every", "expected"), [(1, [3, 4, 5]), (2, [3, 5, 7])])
def test_a_clip_begins_with_its_first_face(
    tmp_path: Path, square_analyzer: Any, square_frames: Callable[..., np.ndarray], every: int, expected: list[int]
) -> None:
    frames = square_frames(9)
    frames[:3] = 30
    path = write_clip(tmp_path / "a.mp4", frames)
    clip = read_clip(path, square_analyzer, frames=2, every=every, longest=512, max_gap=8)
    assert clip.pixels.shape == (3, 96, 96, 3) and len(clip.track) == 3
    assert np.abs(clip.pixels.astype(int) - frames[expected]).mean() < 4
    portrait = own_portrait(clip, square_analyzer)
    case = self_case(clip, portrait)
    assert torch.equal(case.target, case.frames[1:]) and torch.equal(case.reference, case.frames[:1])
    assert np.array_equal(case.landmarks, clip.track.landmarks[1:]) and case.name == "a.mp4"


def test_large_media_are_made_smaller(
    tmp_path: Path, square_analyzer: Any, square_frames: Callable[..., np.ndarray]
) -> None:
    frames = square_frames(3, size=192, side=90)[:, :160]
    clip = read_clip(write_clip(tmp_path / "a.mp4", frames), square_analyzer, frames=2, longest=96, max_gap=8)
    assert clip.pixels.shape == (3, 80, 96, 3)
    save_image(frames[0], tmp_path / "a.png")
    assert read_portrait(tmp_path / "a.png", square_analyzer, longest=96).image.shape == (1, 3, 80, 96)
    assert read_portrait(tmp_path / "a.png", square_analyzer, longest=1000).image.shape == (1, 3, 160, 192)


def test_without_a_face_or_without_motion_there_is_no_clip(
    tmp_path: Path, square_analyzer: Any, square_frames: Callable[..., np.ndarray]
) -> None:
    dark = write_clip(tmp_path / "dark.mp4", np.full((4, 96, 96, 3), 30, np.uint8))
    with pytest.raises(FaceNotFoundError, match=r"dark.mp4: no face in the first 50 frames"):
        read_clip(dark, square_analyzer, frames=2, longest=512, max_gap=8)
    one = write_clip(tmp_path / "one.mp4", square_frames(1))
    with pytest.raises(InputError, match=r"one.mp4: nothing follows its first frame with a face"):
        read_clip(one, square_analyzer, frames=2, longest=512, max_gap=8)


def test_pairs_are_spread_over_clips_and_portraits() -> None:
    pairs = list(spread_pairs("abc", "1234", 4))  # type: ignore[arg-type]
    assert {portrait for _, portrait in pairs} == set("1234") and {clip for clip, _ in pairs} == set("abc")
    whole = list(spread_pairs("abc", "1234", 100))  # type: ignore[arg-type]
    assert len(whole) == len(set(whole)) == 12


def test_every_method_makes_every_pair_once_and_the_truth_is_shown_last(
    tmp_path: Path, square_analyzer: Any, square_frames: Callable[..., np.ndarray]
) -> None:
    clip = read_clip(
        write_clip(tmp_path / "a.mp4", square_frames(4)), square_analyzer, frames=3, longest=512, max_gap=8
    )
    portrait = own_portrait(clip, square_analyzer)
    asked: list[str] = []

    def method(name: str) -> Callable[[Pair], torch.Tensor]:
        return lambda pair: asked.append(name) or pair.frames[1:]  # type: ignore[func-returns-value]

    outcome: Outcome[Any] = Outcome({name: method(name) for name in ("one", "two")}, Scores({"part": ("psnr",)}))
    done: list[int] = []
    for pair in (self_case(clip, portrait), cross_pair(clip, portrait)):
        outcome.add(pair, lambda name, made: {"psnr": len(made)}, progress=lambda: done.append(1))
    assert asked == ["one", "two"] * 2 and len(done) == 4 and set(outcome.seconds) == {"one", "two"}
    assert [name for name, _ in outcome.rows()] == ["portrait", "driver", "one", "two", "truth"]
    assert [len(row) for _, row in outcome.rows()] == [2, 2, 2, 2, 1]
    assert {one.case for one in outcome.scores.measured} == {"a.mp4 0", "a.mp4 1"}
