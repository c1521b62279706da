"""A list of videos: every line is done or told why not; what is finished is skipped; nothing stops the rest."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_core.cli import main
from model_core.images import save_image
from model_core.models import PortraitModel, save_model
from model_core.video.read import open_video
from model_core.video.write import VideoWriter


@pytest.fixture
def folder(
    tmp_path: Path,
    tiny_model: PortraitModel,
    square_frames: Callable[..., np.ndarray],
    square_analyzer: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    monkeypatch.setattr("model_core.commands.animate.load_analyzer", lambda *_, **__: square_analyzer)
    save_model(tiny_model, tmp_path / "tiny.safetensors")
    save_image(square_frames(1)[0], tmp_path / "portrait.png")
    with VideoWriter(tmp_path / "driving.mp4", fps=Fraction(25)) as writer:
        writer.append(square_frames(6))
    return tmp_path


def run(folder: Path, *lines: Any) -> int:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (folder / "jobs.jsonl").write_text("\n".join(texts) + "\n")
    words = ["--batch", str(folder / "jobs.jsonl"), "--model", str(folder / "tiny.safetensors"), "--steps", "1"]
    return main(["animate", *words, "--driving", str(folder / "driving.mp4"), "--device", "cpu"])


def line(folder: Path, name: str, **settings: Any) -> dict[str, Any]:
    return {"reference": str(folder / "portrait.png"), "output": str(folder / "out" / name), "settings": settings}


def test_all_are_done_failures_come_last_and_a_second_run_skips(folder, capsys):
    bad = {**line(folder, "b.mp4"), "reference": str(folder / "nobody.png")}
    jobs = [line(folder, "a.mp4", seed=3), "# a remark", "", bad, line(folder, "c.mp4", frames=2, paste="driving")]
    assert run(folder, *jobs) == 1
    said = capsys.readouterr().out
    assert said.rstrip().endswith(
        f"line 4: {folder / 'out' / 'b.mp4'}: image {folder / 'nobody.png'}: no such file; check the path"
    )
    assert "2 of 3 videos are finished" in said and "line 5: " in said
    assert (open_video(folder / "out" / "a.mp4").frames, open_video(folder / "out" / "c.mp4").frames) == (6, 2)
    assert open_video(folder / "out" / "c.mp4").size == (96, 96)
    times = {path: path.stat().st_mtime_ns for path in (folder / "out").iterdir()}
    save_image(np.asarray(open_png(folder)), folder / "nobody.png")
    assert run(folder, *jobs) == 0
    said = capsys.readouterr().out
    assert said.count(": finished before") == 2 and "line 4" in said and "3 of 3 videos are finished" in said
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())


def open_png(folder: Path) -> np.ndarray:
    from model_core.images import read_pixels

    return read_pixels(folder / "portrait.png")


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("{not json", "line 2: is no JSON"),
        ("[1]", "line 2: write"),
        ({"output": "x.mp4"}, "line 2: reference is missing"),
        ({"reference": "a", "output": "x.mp4", "settings": {"colour": 1}}, "line 2: unrecognized arguments"),
        ({"reference": "a", "output": "x.mp4", "seed": "many"}, "line 2: argument --seed: invalid int value"),
        ({"reference": "a", "output": "x.mp4", "batch": "b"}, "line 2: batch is not an option of a single video"),
        ({"reference": "a", "output": "SAME"}, "line 2: --output {folder}/out/a.mp4: is the same as line 1: --output"),
    ],
)
def test_a_bad_line_is_told_before_anything_is_begun(folder, capsys, bad, words):
    if isinstance(bad, dict) and bad.get("output") == "SAME":
        bad["output"] = str(folder / "out" / "a.mp4")
    assert run(folder, line(folder, "a.mp4"), bad) == 2
    error = capsys.readouterr().err
    assert words.format(folder=folder) in error
    assert not (folder / "out").exists()


@pytest.mark.parametrize("name", ["portrait.png", "out/../driving.mp4", "link.mp4", "out/a.mp4"])
def test_no_line_writes_over_what_another_reads_or_writes(folder, capsys, name):
    (folder / "link.mp4").symlink_to("driving.mp4")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    second = {**line(folder, "b.mp4"), "sheet": str(folder / name)}
    assert run(folder, line(folder, "a.mp4"), second) == 2
    assert f"line 2: --sheet {folder / name}: is the same as line " in capsys.readouterr().err
    assert {path: path.read_bytes() for path in folder.iterdir() if path.suffix != ".jsonl"} == before


def test_a_line_does_not_drive_by_what_another_makes(folder, capsys):
    chained = {**line(folder, "b.mp4"), "driving": str(folder / "out" / "a.mp4")}
    assert run(folder, chained, line(folder, "a.mp4")) == 2
    assert f"line 2: --output {folder / 'out' / 'a.mp4'}: is the same as line 1: --driving" in capsys.readouterr().err
    assert not (folder / "out").exists()


def test_no_list_and_an_empty_one(folder, capsys):
    assert run(folder, "# nothing") == 2
    assert "has no lines" in capsys.readouterr().err
    assert main(["animate", "--batch", str(folder / "none.jsonl")]) == 2
    assert "none.jsonl: no such file" in capsys.readouterr().err
    assert main(["animate", "--ray"]) == 2
    assert "give the list with --batch" in capsys.readouterr().err
    assert main(["animate"]) == 2
    assert "--reference: is missing" in capsys.readouterr().err
