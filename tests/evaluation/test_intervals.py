"""Error bars: of constants, of few identities, and of what could not be measured."""

from __future__ import annotations

import math

import numpy as np
import pytest

from model_core.evaluation.intervals import estimate
from model_core.evaluation.report import markdown_table
from model_core.evaluation.scores import Measured, Scores


def test_a_constant_has_no_error_bar() -> None:
    found = estimate({"a": [2.5, 2.5], "b": [2.5], "c": [2.5]})
    assert (found.mean, found.low, found.high, found.identities) == (2.5, 2.5, 2.5, 3)
    assert found.text(2) == "2.50 ± 0.00"


def test_identities_count_alike_however_many_cases_they_have() -> None:
    found = estimate({"often": [0.0] * 9, "once": [1.0]})
    assert found.mean == 0.5 and 0 <= found.low < 0.5 < found.high <= 1


def test_the_interval_is_that_of_the_mean() -> None:
    """Of 100 identities with standard deviation 1 it is about 1.96 / 10 to either side."""
    values = np.random.default_rng(3).normal(5, 1, 100)
    values = (values - values.mean()) / values.std() + 5
    found = estimate({str(number): [value] for number, value in enumerate(values)})
    assert found.low == pytest.approx(5 - 0.196, abs=0.03) and found.high == pytest.approx(5 + 0.196, abs=0.03)


def test_one_identity_says_nothing_of_others_and_none_says_nothing() -> None:
    one, none = estimate({"a": [1.0, 3.0], "b": [math.nan]}), estimate({"a": [math.nan]})
    assert (one.mean, one.identities, one.text(1)) == (2.0, 1, "2.0") and math.isnan(one.low)
    assert none.identities == 0 and none.text(1) == "-"


def test_methods_are_compared_case_by_case() -> None:
    """What is hard for one method is hard for the other: the difference knows better than both bars."""
    levels = {"a": 10.0, "b": 20.0, "c": 40.0}
    scores = Scores({"part": ("psnr",)})
    for method, gain in (("base", 0.0), ("ours", 1.5)):
        scores.measured += [Measured(method, name, name, {"psnr": level + gain}) for name, level in levels.items()]
    base, ours = scores.rows()
    assert ours.estimates["psnr"].mean - base.estimates["psnr"].mean == pytest.approx(1.5)
    assert base.estimates["psnr"].high - base.estimates["psnr"].low > 10
    (difference,) = scores.against("base")
    assert difference.method == "ours" and difference.estimates["psnr"].text(2) == "1.50 ± 0.00"


def test_the_table_shows_only_columns_that_somebody_has() -> None:
    scores = Scores({"first": ("psnr", "ssim"), "second": ("seam_error",)})
    scores.measured.append(Measured("ours", "1", "a", {"psnr": 30.0, "gain": 1.0}))
    table = scores.table(scores.rows())
    assert "PSNR" in table and "30.00" in table
    assert not any(heading in table for heading in ("SSIM", "gain", "seam", "second"))


def test_estimates_are_right_aligned_numbers() -> None:
    scores = Scores({"method": ("psnr",)})
    scores.measured += [Measured("ours", str(n), str(n), {"psnr": 10.0 * n}) for n in (1, 2)]
    lines = scores.table(scores.rows()).splitlines()
    assert lines[1].endswith("-: |") and len({len(line) for line in lines}) == 1
    assert markdown_table(scores.rows(), headings={"method": "m", "cases": "n"}).count("ours") == 1
