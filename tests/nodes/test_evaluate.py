from __future__ import annotations

import numpy as np
import pytest
import torch


@pytest.fixture(scope="module")
def evaluate(comfy):
    return comfy.module("nodes.evaluate")


@pytest.fixture(scope="module")
def analyzer(comfy, make_track):
    """A face that nods from call to call; none in a black frame."""
    detection = comfy.module("model_core.faces.analyzer").FaceDetection
    track = make_track(4, size=64)

    class Analyzer:
        calls = 0

        def detect(self, frame):
            if frame.max() == 0:
                return []
            self.calls += 1
            number = self.calls % len(track)
            return [detection(track.boxes[number], track.landmarks[number], 0.9)]

    return Analyzer()


def run(evaluate, analyzer, **changes):
    clips = {
        "generated": torch.rand(5, 32, 32, 3),
        "driving": torch.rand(5, 90, 120, 4),
        "reference": torch.rand(1, 300, 200, 3),
        **changes,
    }
    return evaluate.CompareReenactment.execute(analyzer=analyzer, **clips)


def test_table_and_plot_are_given_and_shown(host, evaluate, analyzer):
    result = run(evaluate, analyzer, target=torch.rand(5, 32, 32, 3))
    table, plot = result.args
    assert "| expression error" in table and "| SSIM" in table
    assert len({len(line) for line in table.splitlines() if line.startswith("|")}) == 1
    assert plot.shape[0] == 1 and plot.shape[3] == 3
    assert result.ui["text"] == (table,)
    assert result.ui["images"] == [plot]
    assert host.progress[-1][:2] == (16, 16)


def test_frames_without_a_face_are_named(evaluate, analyzer):
    generated = torch.rand(5, 32, 32, 3)
    generated[[1, 2, 4]] = 0
    table, _ = run(evaluate, analyzer, generated=generated).args
    assert "generated: no face in 3 of 5: frame(s) 1-2, 4" in table


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"driving": torch.rand(4, 32, 32, 3)}, "driving: 4 frames, generated has 5"),
        ({"reference": torch.rand(2, 32, 32, 3)}, "reference: one image is needed, got 2"),
        ({"target": torch.rand(5, 33, 32, 3)}, "target: 5 frames of 32x33, generated is 5 of 32x32"),
        ({"generated": torch.full((5, 32, 32, 3), np.nan)}, "generated: NaN"),
        ({"driving": torch.zeros(0, 32, 32, 3)}, "driving: is empty"),
    ],
)
def test_what_does_not_belong_together_is_named(evaluate, analyzer, changes, message):
    with pytest.raises(evaluate.bridge.InputError, match=message):
        run(evaluate, analyzer, **changes)


def test_cancel_stops_the_search_for_faces(host, evaluate, analyzer, interrupted):
    host.cancelled = True
    with pytest.raises(interrupted):
        run(evaluate, analyzer)
