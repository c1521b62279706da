"""The command line: every command end to end on tiny inputs, and errors a user can act on."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_core.cli import main
from model_core.images import read_pixels, save_image
from model_core.models import PortraitModel, save_model
from model_core.training.clips import list_clips
from model_core.video.read import open_video, read_video
from model_core.video.write import VideoWriter


class Desk:
    """A folder with a portrait, a driving video and a model, and the words of ``animate`` for them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output = folder / "out" / "made.mp4"
        self.words = {
            "--reference": str(folder / "portrait.png"),
            "--driving": str(folder / "driving.mp4"),
            "--model": str(folder / "tiny.safetensors"),
            "--output": str(self.output),
            "--device": "cpu",
        }

    def animate(self, **changes: str) -> int:
        words = {**self.words, **{f"--{name}": value for name, value in changes.items()}}
        return main(["animate", *(word for pair in words.items() for word in pair)])


@pytest.fixture
def desk(
    tmp_path: Path,
    tiny_model: PortraitModel,
    square_frames: Callable[..., np.ndarray],
    square_analyzer: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Desk:
    monkeypatch.setattr("model_core.commands.animate.load_analyzer", lambda name, **settings: square_analyzer)
    monkeypatch.setattr("model_core.commands.compare.load_analyzer", lambda name, **settings: square_analyzer)
    save_model(tiny_model, tmp_path / "tiny.safetensors")
    save_image(square_frames(1)[0], tmp_path / "portrait.png")
    with VideoWriter(tmp_path / "driving.mp4", fps=25) as writer:
        writer.append(square_frames(7))
    return Desk(tmp_path)


def test_animate_writes_a_video_and_a_sheet(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    sheet = desk.folder / "sheet.png"
    assert desk.animate(sheet=str(sheet), seed="3") == 0
    info = open_video(desk.output)
    made = read_video(desk.output)
    assert made.shape == (7, 96, 96, 3) and info.fps == 25
    picture = read_pixels(sheet)
    assert picture.shape[1] > 7 * 32 and picture.std() > 10
    said, told = capsys.readouterr()
    totals = set(re.findall(r"animate: .* \d+/(\d+)", told))
    assert len(totals) == 1, "the bar knows its total from the first window"
    assert re.search(r"animate: 100%.* (\d+)/\1 ", told)
    assert f"wrote {desk.output}: 7 frames of 96x96" in said and str(sheet) in said
    assert "analyse faces" in said and "sample, decode and write" in said
    assert [path.name for path in desk.output.parent.iterdir()] == ["made.mp4"]


def test_the_settings_count_and_the_seed_is_the_result(desk: Desk) -> None:
    results = []
    for words in ({"seed": "1"}, {"seed": "1"}, {"seed": "2"}, {"seed": "1", "frames": "3"}):
        assert desk.animate(**words) == 0
        results.append(desk.output.read_bytes())
        if len(results) == 1:
            desk.output.unlink()  # or it would be found finished
    assert results[0] == results[1] != results[2]
    assert len(read_video(desk.output)) == 3


def test_a_mask_by_hand_counts(desk: Desk, square_frames: Callable[..., np.ndarray]) -> None:
    mask = desk.folder / "mask.png"
    save_image(np.zeros((96, 96, 3), np.uint8), mask)
    results = []
    for words in ({}, {"mask": str(mask)}):
        assert desk.animate(**words) == 0
        results.append(desk.output.read_bytes())
    assert results[0] != results[1]


def test_what_a_user_can_put_right_is_one_line_and_nothing_is_written(
    desk: Desk, capsys: pytest.CaptureFixture[str], square_frames: Callable[..., np.ndarray]
) -> None:
    folder = desk.folder
    save_image(np.full((96, 96, 3), 30, np.uint8), folder / "faceless.png")
    save_image(square_frames(1)[0][:40, :40], folder / "small.png")
    save_image(np.zeros((50, 50, 3), np.uint8), folder / "mask.png")
    (folder / "text.png").write_text("not an image")
    (folder / "text.mp4").write_text("not a video")
    (folder / "cut.safetensors").write_bytes((folder / "tiny.safetensors").read_bytes()[:-999])
    with VideoWriter(folder / "faceless.mp4", fps=25) as writer:
        writer.append(np.full((4, 96, 96, 3), 30, np.uint8))
    before = sorted(path.name for path in folder.iterdir())
    cases: list[tuple[dict[str, str], str]] = [
        *(({"reference": str(folder / f"{name}.png")}, f"{name}.png") for name in ("faceless", "small", "text", "no")),
        *(({"driving": str(folder / f"{name}.mp4")}, f"{name}.mp4") for name in ("faceless", "text", "no")),
        *(({"model": str(folder / f"{name}.safetensors")}, name) for name in ("cut", "no")),
        ({"mask": str(folder / "mask.png")}, "mask.png"),
        ({"window": "4", "overlap": "4"}, "--overlap 4 with window 4"),
        ({"steps": "-1"}, "--steps -1"),
        ({"denoise": "0"}, "denoise 0.0"),
        ({"denoise": "nan"}, "denoise nan"),
        ({"history": "-1"}, "--history -1"),
        ({"frames": "0"}, "--frames 0"),
        ({"face": "9"}, "driving.mp4"),
        ({"device": "abacus"}, "--device abacus"),
        ({"output": str(folder / "made.gif")}, "made.gif"),
    ]
    for words, named in cases:
        assert desk.animate(**words) == 2, words
        said = capsys.readouterr()
        errors = [line for line in said.err.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1 and named in errors[0] and said.err.endswith(errors[0] + "\n"), said.err
        assert "Traceback" not in said.err and said.out == ""
        left = [path.name for path in folder.iterdir() if path.name != "out"]
        assert sorted(left) == before and not list((folder / "out").glob("*")), words


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ({"output": "driving.mp4"}, "--output driving.mp4: is the same as --driving"),
        ({"output": "./out/../driving.mp4"}, "is the same as --driving"),
        ({"output": "soft.mp4"}, "is the same as --driving"),
        ({"output": "hard.mp4"}, "is the same as --driving"),
        ({"output": "driving.mp4", "driving": "./driving.mp4"}, "--output driving.mp4: is the same as --driving ./"),
        ({"output": "portrait.png"}, "is the same as --reference"),
        ({"sheet": "portrait.png"}, "--sheet portrait.png: is the same as --reference"),
        ({"sheet": "mask.png", "mask": "mask.png"}, "--sheet mask.png: is the same as --mask"),
        ({"sheet": "out/new.mp4", "output": "out/new.mp4"}, "--sheet out/new.mp4: is the same as --output"),
        ({"sheet": "tiny.safetensors"}, "is the same as --model"),
        ({"job-folder": "."}, "--job-folder .: is the folder of --"),
    ],
)
def test_no_word_makes_it_write_over_what_it_reads(
    desk: Desk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: dict[str, str], named: str
) -> None:
    monkeypatch.chdir(desk.folder)
    monkeypatch.setattr("model_core.commands.animate.load_files", lambda *_, **__: pytest.fail("work has begun"))
    save_image(np.full((96, 96, 3), 255, np.uint8), desk.folder / "mask.png")
    (desk.folder / "soft.mp4").symlink_to("driving.mp4")
    os.link(desk.folder / "driving.mp4", desk.folder / "hard.mp4")
    before = {path: path.read_bytes() for path in desk.folder.iterdir()}
    assert desk.animate(**words) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and named in said and said.count("\n") == 1
    assert {path: path.read_bytes() for path in desk.folder.iterdir()} == before


def test_compare_writes_over_nothing_that_it_reads(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in desk.folder.iterdir()}
    inputs = ["--reference", desk.words["--reference"], "--driving", desk.words["--driving"]]
    new = str(desk.folder / "new.mp4")
    for output, sheet, named in (
        (desk.words["--driving"], new, "--output"),
        (new, desk.words["--reference"], "--sheet"),
        (new, new, "--sheet"),
        (new, desk.words["--model"], "--sheet"),
    ):
        words = ["compare", *inputs, "--models", desk.words["--model"], "--output", output, "--sheet", sheet]
        assert main(words) == 2
        assert f"error: {named} " in capsys.readouterr().err
    assert {path: path.read_bytes() for path in desk.folder.iterdir()} == before


def test_an_older_video_survives_a_failure(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.output.parent.mkdir()
    desk.output.write_bytes(b"older")

    def full_disk(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("model_core.pipeline.decode", full_disk)
    assert desk.animate() == 130
    assert desk.output.read_bytes() == b"older" and len(list(desk.output.parent.iterdir())) == 1


def test_both_families_are_compared_on_one_clip(desk: Desk, tiny_dit: PortraitModel) -> None:
    save_model(tiny_dit, desk.folder / "tiny-dit.safetensors")
    models = [str(desk.folder / f"{name}.safetensors") for name in ("tiny", "tiny-dit")]
    sheet, output = desk.folder / "both.png", desk.folder / "both.mp4"
    inputs = ["--reference", desk.words["--reference"], "--driving", desk.words["--driving"], "--device", "cpu"]
    assert main(["compare", *inputs, "--models", *models, "--output", str(output), "--sheet", str(sheet)]) == 0
    made = read_video(output)
    assert made.shape == (7, 96, 3 * 96, 3) and sheet.is_file()  # first the carried portrait alone
    alone = desk.folder / "alone.mp4"
    assert desk.animate(model=models[1], output=str(alone)) == 0
    difference = np.abs(read_video(alone).astype(int) - made[:, :, 192:])
    assert difference.mean() < 12, "the right third is what animate makes by that model"


def test_compared_models_are_measured_where_asked_for(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr("model_core.commands.compare.print_metrics", lambda *given: asked.append(given))
    model, words = desk.words["--model"], ["--sheet", str(desk.folder / "s.png"), "--frames", "3"]
    inputs = [word for key in ("--reference", "--driving", "--output", "--device") for word in (key, desk.words[key])]
    assert main(["compare", *inputs, *words, "--models", model]) == 0 and not asked
    assert main(["compare", *inputs, *words, "--models", model, "--metrics"]) == 0
    ((reference, driving, frames),) = asked
    np.testing.assert_array_equal(reference, read_pixels(desk.words["--reference"]))
    np.testing.assert_array_equal(driving, read_video(desk.words["--driving"], limit=3))
    assert (
        list(frames) == ["without the network", model]
        and frames[model].shape == (3, 96, 96, 3)
        and frames[model].dtype == np.uint8
    )


def test_strengths_and_sizes_are_words_of_the_command_line(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        desk.animate(
            steps="0",
            size="model",
            strength="mouth=0.5",
            only="expression",
            edit="smile=1",
            **{"rest-frame": "frontal"},
        )
        == 0
    )
    assert read_video(desk.output).shape == (7, 32, 32, 3)
    for words, message in (
        ({"strength": "nose=1"}, "--strength nose=1: write REGION=X with one of head_rotation"),
        ({"strength": "mouth=much"}, "'much' is not a number"),
        ({"strength": "mouth=9"}, "strength: mouth 9.0: must be from 0 to 3"),
        ({"strength": "mouth=nan"}, "strength: mouth nan: must be from 0 to 3"),
        ({"edit": "ears=1"}, "--edit ears=1: write SLIDER=X with one of jaw_open"),
        ({"edit": "smile=2"}, "edit: smile 2.0: must be from -1 to 1"),
        ({"edit": "smile=1", "alignment": "absolute"}, "edit: placing absolute moves the face as a whole"),
        ({"size": "huge"}, "--size huge: choose model, portrait"),
        ({"size": "7"}, "size 7: choose model or portrait, or must be from 64 to 4096"),
        ({"rest-frame": "first"}, "--rest-frame first: give a frame's number, or frontal"),
        ({"rest-frame": "99"}, "rest frame 99 of a clip of 7 frames"),
    ):
        assert desk.animate(output=str(desk.folder / "other.mp4"), **words) == 2
        assert message in capsys.readouterr().err
        assert not (desk.folder / "other.mp4").exists()


def test_models_lists_what_is_found(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--models-folder", str(desk.folder)]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("tiny "))
    assert line.split() == ["tiny", "unet", str(desk.folder / "tiny.safetensors")]


def test_a_model_is_found_by_its_name(desk: Desk) -> None:
    words = {"model": "tiny", "models-folder": str(desk.folder), "frames": "1"}
    assert desk.animate(**words) == 0


def test_avatars_are_written_once(tmp_path: Path) -> None:
    words = ["avatars", str(tmp_path), "--first-seed", "5", "--count", "2", "--frames", "2", "--size", "32"]
    assert main(words) == 0
    assert [clip.path.name for clip in list_clips(tmp_path)] == ["00000005.npz", "00000006.npz"]
    assert list_clips(tmp_path)[0].load()["images"].shape == (2, 32, 32, 3)


def test_avatars_of_other_settings_are_not_taken_for_these(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["avatars", str(tmp_path), "--count", "1"]
    assert main([*words, "--frames", "2", "--size", "32"]) == 0
    before = (tmp_path / "00000000.npz").read_bytes()
    for changed, known in (
        (["--frames", "3", "--size", "32"], "frames 2 instead of 3"),
        (["--frames", "2", "--size", "48"], "size 32 instead of 48"),
        (["--frames", "2", "--size", "32", "--pictured", "1"], "pictured 0 instead of 1"),
    ):
        assert main([*words, *changed]) == 2
        assert f"00000000.npz: was rendered with {known}; give the same settings" in capsys.readouterr().err
    assert (tmp_path / "00000000.npz").read_bytes() == before


def test_a_setting_without_a_value_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(tmp_path / "none.yaml"), "--set", "optim.steps"]) == 2
    assert "--set optim.steps: write KEY=VALUE" in capsys.readouterr().err
    assert main(["train", str(tmp_path / "none.yaml")]) == 2
    assert "none.yaml" in capsys.readouterr().err


def test_prepare_names_an_empty_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", str(tmp_path), str(tmp_path / "out")]) == 2
    assert str(tmp_path) in capsys.readouterr().err and not (tmp_path / "out").exists()
