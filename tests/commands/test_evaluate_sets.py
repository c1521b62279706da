"""``evaluate`` on sets of a user's own, from files to tables; tiny models, faces that are bright squares."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_core.cli import main
from model_core.evaluation.expression import SIGNALS
from model_core.evaluation.extractors import FoundLandmarks
from model_core.evaluation.instruments import Instruments
from model_core.images import save_image
from model_core.models import PortraitModel, save_model
from model_core.training.avatars import make_clip
from model_core.training.clips import write_clip
from model_core.video.write import VideoWriter


class Brightness:
    """Reads every signal off a frame's brightness."""

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        return np.full(len(SIGNALS), frame.mean() / 10)

    def read(self, frames: Any) -> np.ndarray:
        return np.stack([self(frame) for frame in frames])


def looked(frames: np.ndarray) -> FoundLandmarks:
    brightness = frames.reshape(len(frames), -1).mean(axis=1) / 8
    points = np.random.default_rng(0).uniform(4, 28, (1, 478, 3)) + brightness[:, None, None]
    return FoundLandmarks(points.astype(np.float32), np.ones(len(frames), bool))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, square_frames: Callable[..., np.ndarray]) -> Path:
    """Two videos of faces and one without, two portraits and one without a face, heads and photographs."""
    folder = tmp_path_factory.mktemp("files")
    dark = np.full((6, 96, 96, 3), 30, np.uint8)
    for name, frames in (("a.mp4", square_frames(6)), ("b.mp4", square_frames(6)[::-1]), ("dark.mp4", dark)):
        with VideoWriter(folder / "media" / name, fps=25) as writer:
            writer.append(frames)
    for name, frame in (("one.png", square_frames(2)[1]), ("two.png", square_frames(1)[0]), ("night.png", dark[0])):
        save_image(frame, folder / "media" / name)
    for seed in range(2):
        clip = make_clip(seed, frames=5, drivers=1, pictured=1, size=32)
        write_clip(folder / "heads" / f"{seed}.npz", clip)
        photo = {name: clip[name][:1] for name in ("images", "foreground", "landmarks")}
        write_clip(folder / "photos" / f"{seed}.npz", photo)
    (folder / "empty").mkdir()
    return folder


@pytest.fixture
def folder(
    tmp_path: Path,
    files: Path,
    tiny_model: PortraitModel,
    tiny_dit: PortraitModel,
    square_analyzer: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """The files and two models, in the folder that commands are given in."""
    missing = {"ST-LPIPS": "pip install stlpips", "identity": "pip install dlib"}
    found = Instruments(landmarks=looked, expression=Brightness(), missing=missing)  # type: ignore[arg-type]
    monkeypatch.setattr("model_core.commands.evaluate_sets.find_instruments", lambda *_, **__: found)
    for command in ("evaluate_sets", "evaluate_media"):
        monkeypatch.setattr(f"model_core.commands.{command}.load_analyzer", lambda *_, **__: square_analyzer)
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    save_model(tiny_model, tmp_path / "tiny.safetensors")
    save_model(tiny_dit, tmp_path / "tiny-dit.safetensors")
    monkeypatch.chdir(tmp_path)
    return tmp_path


MODELS = "--model tiny.safetensors tiny-dit.safetensors --device cpu --output out"
ROWS = ["without the network", "tiny", "tiny-dit"]


def evaluated(folder: Path, words: str, name: str) -> dict[str, Any]:
    assert main(["evaluate", *words.split(), *MODELS.split()]) == 0
    assert all((folder / "out" / f"{name}.{suffix}").stat().st_size > 0 for suffix in ("md", "png"))
    return dict(json.loads((folder / "out" / f"{name}.json").read_text(encoding="utf-8")))


def test_clips_drive_themselves_and_portraits(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = evaluated(folder, "--clips media --frames 3 --pairs 3", "self")
    said = capsys.readouterr()
    assert [row["method"] for row in own["rows"]] == ROWS and {row["cases"] for row in own["rows"]} == {2}
    assert set(own["left_out"]) == {"dark.mp4", "night.png"} and "dark.mp4: no face" in said.err
    assert set(own["missing"]) == {"ST-LPIPS"} and "not measured: ST-LPIPS; pip install stlpips" in said.out
    cross = json.loads((folder / "out" / "cross.json").read_text(encoding="utf-8"))
    assert [row["method"] for row in cross["rows"]] == ROWS and len(cross["pairs"]) == 3
    assert {portrait for _, portrait in cross["pairs"]} == {"one.png", "two.png"}
    assert set(cross["missing"]) == {"identity"}
    assert "identity" not in cross["rows"][0]["estimates"] and "not measured: identity; pip install dlib" in said.out


def test_the_portraits_of_another_folder_take_the_place_of_those_among_the_clips(folder: Path) -> None:
    (folder / "people").mkdir()
    (folder / "media" / "one.png").rename(folder / "people" / "one.png")
    evaluated(folder, "--clips media --portraits people --frames 3", "cross")
    cross = json.loads((folder / "out" / "cross.json").read_text(encoding="utf-8"))
    assert cross["pairs"] == [["a.mp4", "one.png"], ["b.mp4", "one.png"]]


def test_the_json_holds_what_the_table_shows(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    heads = evaluated(folder, "--heads heads --frames 3", "heads")
    table = (folder / "out" / "heads.md").read_text(encoding="utf-8")
    assert table in capsys.readouterr().out and "2 case(s)" in table and "over 2 heads" in table
    for row in heads["rows"]:
        line = next(line for line in table.splitlines() if line.startswith(f"| {row['method']} "))
        psnr = row["estimates"]["psnr"]
        assert f" {psnr['mean']:.2f} ± {(psnr['high'] - psnr['low']) / 2:.2f} |" in line
    plain = [one["values"]["psnr"] for one in heads["measured"] if one["method"] == "without the network"]
    assert heads["rows"][0]["estimates"]["psnr"]["mean"] == pytest.approx(np.mean(plain))
    tiny = [one["values"]["psnr"] for one in heads["measured"] if one["method"] == "tiny"]
    assert heads["against"][0]["estimates"]["psnr"]["mean"] == pytest.approx(np.mean(tiny) - np.mean(plain), abs=1e-6)
    assert heads["sampling"]["without the network"]["steps"] == 0 and heads["sampling"]["tiny"]["steps"] == 2


def test_a_method_that_gives_the_truth_has_no_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model_core.commands.evaluate_sets.by_model", lambda *_: lambda case: case.target)
    heads = evaluated(folder, "--heads heads --photos photos --frames 2", "heads")
    photos = json.loads((folder / "out" / "photos.json").read_text(encoding="utf-8"))
    for row in [*heads["rows"], *photos["rows"]]:
        assert row["estimates"]["psnr"] == {"mean": 100, "low": 100, "high": 100, "identities": 2}
        assert row["estimates"]["landmark_error"]["mean"] == 0
    assert photos["rows"][0]["cases"] == 4 and "warping_error" in heads["rows"][0]["estimates"]


def test_each_model_is_ablated_on_request(folder: Path) -> None:
    heads = evaluated(folder, "--heads heads --frames 4 --limit 1 --ablate", "heads")
    rows = {row["method"]: row["estimates"] for row in heads["rows"]}
    assert {*ROWS, "tiny, without history", "tiny, with random scaling", "tiny, without separation"} <= set(rows)
    assert {"tiny-dit, 1 step", "tiny-dit, with jittering masks", "tiny-dit, driven by another face"} <= set(rows)
    assert rows["tiny"]["seam_error"]["mean"] is not None
    assert rows["tiny, without history"]["psnr"] != rows["tiny"]["psnr"]
    assert rows["tiny"]["psnr"]["identities"] == 1 and rows["tiny"]["psnr"]["low"] is None


def test_models_of_one_name_are_told_apart(folder: Path) -> None:
    (folder / "copy.safetensors").write_bytes((folder / "tiny.safetensors").read_bytes())
    words = "--heads heads --frames 2 --limit 1 --ablation again=tiny.safetensors --ablation tiny=copy.safetensors"
    rows = {row["method"]: row["estimates"] for row in evaluated(folder, words, "heads")["rows"]}
    assert list(rows) == [*ROWS, "again", "tiny (copy.safetensors)"]
    assert rows["again"] == rows["tiny"] == rows["tiny (copy.safetensors)"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--clips none", "--clips none: no such folder"),
        ("--clips empty", "--clips empty: holds no videos and no pictures"),
        ("--clips media --portraits empty", "--portraits empty: holds no videos and no pictures"),
        ("--portraits media", "--portraits: need somebody who drives them"),
        ("--photos photos", "--photos: are moved as heads move"),
        ("--heads empty", "empty: no prepared clips"),
        ("--heads none", "none: no prepared clips"),
        ("--clips media --limit 0", "--limit 0: must be"),
        ("--clips media --pairs 0", "--pairs 0: must be"),
        ("--clips media --every 0", "--every 0: must be"),
        ("--clips media --size 8", "--size 8: must be"),
        ("--clips media --strength chin=1", "--strength chin=1: write REGION=X"),
        ("--heads heads --sweep", "--sweep: is for avatars"),
        ("--ablate", "--ablate: is for sets"),
    ],
)
def test_what_a_user_can_put_right_is_one_line(
    folder: Path, words: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", *words.split(), *MODELS.split()]) == 2
    said = capsys.readouterr()
    assert said.err.splitlines()[-1].startswith("error: ") and says in said.err
    assert not (folder / "out").exists()


def test_clips_without_any_face_are_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.mp4", "b.mp4"):
        (folder / "media" / name).unlink()
    assert main(["evaluate", "--clips", "media", *MODELS.split()]) == 2
    assert "--clips media: no clip shows a face" in capsys.readouterr().err


def test_the_help_says_what_each_metric_embeds(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["evaluate", "--help"])
    said = capsys.readouterr().out
    assert all(word in said for word in ("AlexNet", "Face Landmarker", "dlib", "Farneback", "--clips", "--ablate"))
