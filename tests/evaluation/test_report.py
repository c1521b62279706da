from __future__ import annotations

import dataclasses
import json
import math
import sys
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image

from model_core.errors import DependencyError, InputError
from model_core.evaluation import metrics, report


@dataclass(frozen=True)
class Row:
    method: str
    frames: int
    psnr: float


ROWS = [Row("copy of the reference", 8, 17.4), Row("ours | tiny", 120, math.nan)]


def clips(frames: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.rand(frames, 3, 32, 32, generator=generator) * 2 - 1 for _ in range(2))


def landmarks(found: list[bool]) -> report.Landmarks:
    truth = np.random.default_rng(0).uniform(0, 32, (len(found), 478, 3))
    return report.Landmarks(generated=truth + 1, truth=truth, found=np.array(found))


def test_table_lines_up_and_is_markdown():
    assert report.markdown_table(ROWS, digits=2) == (
        "| method                | frames |  psnr |\n"
        "| --------------------- | -----: | ----: |\n"
        "| copy of the reference |      8 | 17.40 |\n"
        "| ours \\| tiny          |    120 |     - |\n"
    )


def test_headings_choose_and_order_columns():
    table = report.markdown_table(ROWS, headings={"psnr": "PSNR (dB)", "method": "method"}, digits={"psnr": 1})
    assert table.splitlines()[0].split("|")[1].strip() == "PSNR (dB)"
    assert "frames" not in table and " 17.4 |" in table


def test_empty_table_is_refused():
    with pytest.raises(InputError, match="at least one row"):
        report.markdown_table([])


def test_json_keeps_facts_and_knows_no_nan(tmp_path):
    path = report.write_json(tmp_path / "new" / "a.json", ROWS, model="tiny", seeds=[1, math.inf])
    content = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    assert content["model"] == "tiny" and content["seeds"] == [1, None]
    assert content["rows"][0] == {"method": "copy of the reference", "frames": 8, "psnr": 17.4}
    assert content["rows"][1]["psnr"] is None


def test_measure_gives_the_curves_of_metrics():
    generated, target = clips()
    curves = report.measure(generated, target, landmarks=landmarks([True, True, False, True]))
    for name in ("psnr", "ssim", "l1", "flow_error", "temporal_error", "colour_drift"):
        assert torch.equal(getattr(curves, name), getattr(metrics, name)(generated, target))
    assert curves.landmark_error.isnan().tolist() == [False, False, True, False]
    assert report.measure(generated, target).landmark_error is None


def test_summary_is_the_mean_over_frames_not_over_clips():
    long, short = clips(6), clips(2)
    same = short[1], short[1]
    curves = [report.measure(*long), report.measure(*same)]
    score = report.summarise("ours", curves)
    assert (score.method, score.frames) == ("ours", 8)
    assert score.psnr == pytest.approx((curves[0].psnr.sum() + 200).item() / 8, rel=1e-5)
    assert score.l1 == pytest.approx(curves[0].l1.sum().item() / 8, rel=1e-5)
    assert math.isnan(score.landmark_error) and math.isnan(score.found)


def test_frames_without_a_face_are_counted_not_averaged():
    curves = report.measure(*clips(), landmarks=landmarks([True, False, False, True]))
    score = report.summarise("ours", [curves])
    assert score.found == 0.5
    assert score.landmark_error == pytest.approx(curves.landmark_error[[0, 3]].mean().item())


def test_one_frame_has_no_temporal_score():
    score = report.summarise("ours", [report.measure(*clips(1))])
    assert math.isnan(score.flow_error) and math.isfinite(score.psnr)
    assert "-" in report.markdown_table([score])
    assert {field.name for field in dataclasses.fields(score)} >= {"psnr", "ssim", "landmark_error"}


def test_no_clips_are_refused():
    with pytest.raises(InputError, match="ours: no clips"):
        report.summarise("ours", [])


def test_curves_are_drawn_without_global_state(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    curves = {
        "ours": report.measure(*clips()),
        "copy": report.measure(*clips(), landmarks=landmarks([True] * 4)),
    }
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing it would fail
    path = report.plot_curves(tmp_path / "a.png", curves)
    with Image.open(path) as image:
        blue = (np.array(image.convert("RGB")) == (0x1F, 0x77, 0xB4)).all(axis=-1)  # the first line's colour
    assert blue.sum() > 300


def test_missing_matplotlib_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(DependencyError, match="pip install matplotlib"):
        report.plot_curves(tmp_path / "a.png", {})
