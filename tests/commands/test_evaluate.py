"""``evaluate`` from model file to table, plot and sheet; tiny models on tiny avatars, the landmarks made up."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_core.cli import main
from model_core.commands.sweep import PAPER, SCALES, sweep_methods
from model_core.evaluation.extractors import FoundLandmarks
from model_core.evaluation.methods import copy_reference
from model_core.models import PortraitModel, save_model


def made_up(frames: np.ndarray) -> FoundLandmarks:
    """Landmarks that any change of a frame moves."""
    brightness = frames.reshape(len(frames), -1).mean(axis=1) / 8
    points = np.random.default_rng(0).uniform(4, 28, (1, 478, 3)) + brightness[:, None, None]
    return FoundLandmarks(points.astype(np.float32), np.ones(len(frames), bool))


@pytest.fixture
def evaluate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("model_core.commands.evaluate.MediaPipeAnalyzer", lambda: None)
    monkeypatch.setattr("model_core.commands.evaluate.landmark_extractor", lambda analyzer: made_up)

    def run(model: PortraitModel, *arguments: str) -> dict[str, dict[str, Any]]:
        path = tmp_path / f"{model.config.name}.safetensors"
        save_model(model, path)
        output = tmp_path / "out"
        common = [
            "--model",
            str(path),
            "--identities",
            "1",
            "--frames",
            "3",
            "--output",
            str(output),
            "--device",
            "cpu",
        ]
        assert main(["evaluate", *common, *arguments]) == 0
        assert all((output / name).stat().st_size > 0 for name in ("table.md", "curves.png", "sheet.png"))
        scores = json.loads((output / "scores.json").read_text(encoding="utf-8"))
        return {score["method"]: score for score in scores["rows"]}

    return run


def test_it_does_not_write_over_a_model(
    tmp_path: Path, tiny_model: PortraitModel, capsys: pytest.CaptureFixture[str]
) -> None:
    save_model(tiny_model, tmp_path / "tiny.safetensors")
    (tmp_path / "table.md").symlink_to("tiny.safetensors")
    before = (tmp_path / "tiny.safetensors").read_bytes()
    assert main(["evaluate", "--model", str(tmp_path / "tiny.safetensors"), "--output", str(tmp_path)]) == 2
    assert f"--output {tmp_path / 'table.md'}: is the same as --model" in capsys.readouterr().err
    assert (tmp_path / "tiny.safetensors").read_bytes() == before


def test_every_family_is_measured_with_what_can_be_left_out_of_it(
    evaluate: Any, tiny_model: PortraitModel, tiny_dit: PortraitModel
) -> None:
    left_out = {"without the network", "with relative alignment", "without cyclic overlap", "without history"}
    spoilt = {"with jittering masks", "with masks missing parts", "with something in front"}
    assert set(evaluate(tiny_model)) == {"copy of the reference", "tiny", *left_out}
    scores = evaluate(tiny_dit)
    assert set(scores) == {"copy of the reference", "tiny-dit", *left_out, *spoilt}
    assert all(math.isfinite(score["psnr"]) and score["frames"] == 3 for score in scores.values())
    plain = scores["tiny-dit"]["psnr"]
    apart = {name: abs(scores[name]["psnr"] - plain) for name in spoilt}
    assert min(apart.values()) > 1e-5, apart


def test_an_ablation_stands_beside_it(evaluate: Any, tiny_dit: PortraitModel, tmp_path: Path) -> None:
    save_model(tiny_dit, tmp_path / "same.safetensors")
    scores = evaluate(tiny_dit, "--ablation", f"the same={tmp_path / 'same.safetensors'}")
    assert scores["the same"]["psnr"] == scores["tiny-dit"]["psnr"]


def test_the_scales_are_swept_and_plotted(evaluate: Any, tiny_dit: PortraitModel, tmp_path: Path) -> None:
    scores = evaluate(tiny_dit, "--sweep")
    assert (tmp_path / "out" / "sweep.png").stat().st_size > 0
    swept = [f"{name} {value:g}" for name, values in SCALES.items() for value in values]
    assert set(swept) <= set(scores) and "identity 2, motion 2.5, continuity 1" in scores
    made = {name: scores[name]["psnr"] for name in swept}
    assert made["identity 1"] == made["motion 1"]
    assert len({round(value, 6) for value in made.values()}) == len(swept) - 1


def test_seams_are_where_the_pipeline_begins_chunks(
    evaluate: Any, tiny_model: PortraitModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks of 16 make 12 and 12 of 24 frames, 9 and 9 of 18."""
    from model_core.commands import evaluate as command

    seen, summarise = [], command.summarise

    def keep(name: str, clips: Any, *, seams: Any) -> Any:
        seen.append(list(seams))
        return summarise(name, clips, seams=seams)

    monkeypatch.setattr(command, "summarise", keep)
    monkeypatch.setattr(command, "methods_of", lambda model, sampling: dict.fromkeys("ab", copy_reference))
    evaluate(tiny_model, "--frames", "18")
    assert seen == [[9], [9]]


def test_several_models_stand_beside_one_another(evaluate: Any, tiny_dit: PortraitModel, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    save_model(tiny_dit, other)
    scores = evaluate(tiny_dit, "--model", str(tmp_path / "tiny-dit.safetensors"), str(other))
    assert scores[str(other)]["psnr"] == scores["tiny-dit"]["psnr"]


def test_the_papers_scales_are_its_own(tiny_dit: PortraitModel) -> None:
    assert PAPER == {"identity": 2.0, "motion": 2.5, "continuity": 1.0}
    assert len(sweep_methods(tiny_dit, tiny_dit.config.sampling)) == 9
