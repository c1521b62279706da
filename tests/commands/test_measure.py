"""``measure`` from files to table and JSON, and ``compare --metrics``, with a reader of brightness."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_core.cli import main
from model_core.commands import compare_metrics, measure
from model_core.errors import DependencyError
from model_core.evaluation.expression import SIGNALS
from model_core.images import save_image
from model_core.video.write import VideoWriter


class Brightness:
    """Reads every signal off a frame's brightness; black frames show no face."""

    def __init__(self) -> None:
        self.frames = 0

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        self.frames += 1
        return np.full(len(SIGNALS), frame.mean() / 10 if frame.mean() > 20 else np.nan)

    def read(self, frames: Any) -> np.ndarray:
        return np.stack([self(frame) for frame in frames])


LEVELS = np.array([60, 80, 120, 100, 140, 180, 160, 90], np.uint8)


def write_clip(path: Path, levels: np.ndarray) -> None:
    with VideoWriter(path, fps=25) as writer:
        writer.append(np.broadcast_to(levels[:, None, None, None], (len(levels), 64, 64, 3)).astype(np.uint8))


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Brightness:
    one = Brightness()
    for command in (measure, compare_metrics):
        monkeypatch.setattr(command, "ExpressionReader", lambda: one)
        monkeypatch.setattr(command, "MediaPipeAnalyzer", lambda: None)
    return one


@pytest.fixture
def folder(tmp_path: Path, reader: Brightness) -> Path:
    save_image(np.full((64, 64, 3), 100, np.uint8), tmp_path / "portrait.png")
    write_clip(tmp_path / "driving.mp4", LEVELS)
    write_clip(tmp_path / "half.mp4", LEVELS // 2 + 40)
    write_clip(tmp_path / "opposite.mp4", 240 - LEVELS)
    return tmp_path


def triple(folder: Path, generated: str) -> dict[str, str]:
    names = {"reference": "portrait.png", "driving": "driving.mp4", "generated": generated}
    return {key: str(folder / name) for key, name in names.items()}


def words(folder: Path, generated: str, *more: str) -> list[str]:
    return ["measure", *(w for key, value in triple(folder, generated).items() for w in (f"--{key}", value)), *more]


def write_list(folder: Path, *generated: str) -> str:
    path = folder / "pairs.jsonl"
    path.write_text("\n".join(json.dumps(triple(folder, name)) for name in generated) + "\n\n", encoding="utf-8")
    return str(path)


def test_it_writes_over_nothing_that_it_reads(folder: Path, reader: Brightness, capsys: Any) -> None:
    listed = Path(write_list(folder, "half.mp4")).rename(folder / "metrics.json")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert main(["measure", "--pairs", str(listed), "--output", str(folder)]) == 2
    assert f"{folder / 'metrics.json'}: is the same as --pairs " in capsys.readouterr().err
    (folder / "table.md").symlink_to("half.mp4")
    assert main([*words(folder, "half.mp4"), "--output", str(folder)]) == 2
    assert f"{folder / 'table.md'}: is the same as the generated " in capsys.readouterr().err
    (folder / "table.md").unlink()
    assert {path: path.read_bytes() for path in folder.iterdir()} == before and reader.frames == 0


def test_one_pair_is_printed_and_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "out"
    assert main(words(folder, "half.mp4", "--output", str(out))) == 0
    said = capsys.readouterr().out
    written = (out / "table.md").read_text(encoding="utf-8")
    assert said == f"{written}wrote {out}: table.md, metrics.json\n"
    assert sorted(path.name for path in out.iterdir()) == ["metrics.json", "table.md"]
    assert "half.mp4: 8 frames, a face in 100% of driving and 100% of generated frames\n" in written
    rows = [line.split("|")[1].strip() for line in written.splitlines() if line.startswith("|")]
    assert {"jawOpen", "blink", "roll", "all pairs"} <= set(rows) and "mouthSmileLeft" not in rows
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    (row,) = metrics["rows"]
    assert [score["signal"] for score in row["signals"]] == list(SIGNALS)
    for score in row["signals"]:
        assert score["correlation"] == pytest.approx(1, abs=0.01) and score["gain"] == pytest.approx(0.5, abs=0.02)
        assert score["reference"] == pytest.approx(10, abs=0.01) and score["quiet"] is False
    assert metrics["summary"]["gain"] == pytest.approx(0.5, abs=0.02) and metrics["summary"]["identity"] is None


def test_a_list_is_summarised_and_its_driver_is_read_once(
    folder: Path, reader: Brightness, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder / "out"
    pairs = write_list(folder, "opposite.mp4", "half.mp4")
    assert main(words(folder, "half.mp4", "--pairs", pairs, "--output", str(out))) == 0
    assert reader.frames == 1 + 4 * len(LEVELS)
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert [row["name"] for row in metrics["rows"]] == ["half.mp4", "opposite.mp4", "half.mp4"]
    assert metrics["summary"]["pairs"] == 3 and metrics["summary"]["signals"] == 24
    assert metrics["summary"]["correlation"] == pytest.approx(1 / 3, abs=0.01)
    assert metrics["summary"]["gain"] == pytest.approx(0.5, abs=0.02)
    assert "mean correlation and median gain" in capsys.readouterr().out


def test_frames_are_limited_first_and_then_thinned(folder: Path, reader: Brightness) -> None:
    out = folder / "out"
    assert main(words(folder, "half.mp4", "--frames", "6", "--every", "2", "--output", str(out))) == 0
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["rows"][0]["frames"] == 3 and (metrics["frames"], metrics["every"]) == (6, 2)
    jaw = metrics["rows"][0]["signals"][0]
    assert jaw["driving_mean"] == pytest.approx(LEVELS[:6:2].mean() / 10, abs=0.15)


def test_identity_is_measured_where_asked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    def recognise(frames: np.ndarray) -> torch.Tensor:
        levels = torch.from_numpy(frames.mean(axis=(1, 2, 3))).deg2rad()
        return torch.stack([levels.cos(), levels.sin()], dim=1)

    monkeypatch.setattr(measure, "dlib_identity", lambda analyzer: recognise)
    assert main(words(folder, "half.mp4", "--identity")) == 0
    sampled = (LEVELS // 2 + 40)[::5]
    expected = np.cos(np.radians(sampled - 100.0)).mean()
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("half.mp4"))
    assert float(line.rpartition("identity ")[2]) == pytest.approx(expected, abs=0.01)


def test_what_a_user_can_put_right_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = folder / "bad.jsonl"
    bad.write_text(json.dumps(triple(folder, "half.mp4")) + '\n{"reference": "a", "result": "b"}\n', encoding="utf-8")
    cases = [
        (["measure"], "nothing to measure"),
        (["measure", "--driving", "a.mp4"], "give all three"),
        (["measure", "--pairs", str(folder / "no.jsonl")], "no.jsonl"),
        (["measure", "--pairs", str(bad)], "line 2"),
        (words(folder, "half.mp4", "--every", "0"), "--every 0"),
        (words(folder, "half.mp4", "--frames", "0"), "--frames 0"),
        (words(folder, "none.mp4"), "none.mp4"),
    ]
    for command, named in cases:
        assert main([*command, "--output", str(folder / "out")] if len(command) > 1 else command) == 2
        said = capsys.readouterr()
        assert said.err.splitlines()[-1].startswith("error: ") and named in said.err and said.out == ""
    assert not (folder / "out").exists()


def test_compare_prints_a_line_for_each_model(
    reader: Brightness, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(analyzer: Any) -> Any:
        raise DependencyError("pip install dlib-bin")

    monkeypatch.setattr(compare_metrics, "dlib_identity", missing)
    driving = np.broadcast_to(LEVELS[:, None, None, None], (len(LEVELS), 8, 8, 3))
    compare_metrics.print_metrics(driving[0], driving, {"whole": driving, "half": driving // 2 + 40})
    said = capsys.readouterr()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in said.out.splitlines()]
    assert [row[0] for row in rows[2:]] == ["whole", "half"] and len(rows) == 4
    heads = rows[0]
    assert [float(row[heads.index("gain")]) for row in rows[2:]] == pytest.approx([1, 0.5], abs=0.02)
    assert {row[heads.index("identity")] for row in rows[2:]} == {"-"} and "pip install dlib-bin" in said.err
