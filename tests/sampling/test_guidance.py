from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model_core.errors import InputError
from model_core.sampling import SignalFusion, combine
from model_core.types import Branch

SCALES = st.floats(-3, 8, allow_nan=False)


def predictions(seed: int, dtype: torch.dtype = torch.float32) -> dict[Branch, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {branch: torch.randn((1, 3, 2, 2, 2), generator=generator).to(dtype) for branch in Branch}


@given(SCALES, SCALES, SCALES, st.integers(0, 100))
def test_equals_the_formula(identity: float, motion: float, continuity: float, seed: int) -> None:
    u, s, d, p = (made := predictions(seed)).values()
    weights = SignalFusion(identity, motion, continuity).coefficients(0, 10, has_history=True)
    wanted = u + identity * (s - u) + motion * (d - s) + continuity * (p - d)
    torch.testing.assert_close(combine(made, weights), wanted, atol=2e-5, rtol=1e-5)
    assert math.isclose(sum(weights.values()), 1, abs_tol=1e-9)


@given(SCALES, SCALES, SCALES, st.integers(0, 100))
def test_without_history_full_is_driving(identity: float, motion: float, continuity: float, seed: int) -> None:
    made = predictions(seed)
    made[Branch.FULL] = made[Branch.DRIVING]
    fusion = SignalFusion(identity, motion, continuity)
    without = fusion.coefficients(0, 10, has_history=False)
    assert Branch.FULL not in without
    with_full = combine(made, fusion.coefficients(0, 10, has_history=True))
    torch.testing.assert_close(combine(made, without), with_full, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("scales", "has_history", "branches"),
    [
        ((1, 1, 1), True, {Branch.FULL}),
        ((1, 1, 1), False, {Branch.DRIVING}),
        ((1, 1, 3), False, {Branch.DRIVING}),
        ((2, 2, 2), True, {Branch.UNCONDITIONAL, Branch.FULL}),
        ((3.5, 3.5, 1), False, {Branch.UNCONDITIONAL, Branch.DRIVING}),
        ((1, 2, 1), False, {Branch.REFERENCE, Branch.DRIVING}),
        ((1, 1, 0), True, {Branch.DRIVING}),
        ((0, 0, 0), True, {Branch.UNCONDITIONAL}),
        ((2, 2.5, 1), True, set(Branch)),
    ],
)
def test_only_branches_that_count(scales: tuple[float, ...], has_history: bool, branches: set) -> None:
    weights = SignalFusion(*scales).coefficients(0, 4, has_history=has_history)
    assert set(weights) == branches
    if len(branches) == 1:
        assert list(weights.values()) == [1.0]


def test_guided_part_of_the_steps() -> None:
    fusion = SignalFusion(2, 3, 1.5, start=0.25, end=0.75)
    counts = [len(fusion.coefficients(step, 8, has_history=True)) for step in range(8)]
    assert counts == [1, 1, 4, 4, 4, 4, 1, 1]
    assert fusion.coefficients(0, 8, has_history=True) == {Branch.FULL: 1.0}
    assert fusion.coefficients(7, 8, has_history=False) == {Branch.DRIVING: 1.0}


def test_half_precision_is_combined_in_float32() -> None:
    made = predictions(0, torch.float16)
    weights = SignalFusion(7, 9, 5).coefficients(0, 1, has_history=True)
    wanted = sum(made[branch].double() * weight for branch, weight in weights.items())
    result = combine(made, weights)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result.double(), wanted, atol=1e-5, rtol=1e-5)


def test_inputs_are_not_changed() -> None:
    made = predictions(0)
    kept = {branch: value.clone() for branch, value in made.items()}
    combine(made, SignalFusion(2, 3, 4).coefficients(0, 1, has_history=True))
    assert all(torch.equal(made[branch], kept[branch]) for branch in Branch)


@pytest.mark.parametrize("values", [{"start": 0.6, "end": 0.5}, {"start": -0.1}, {"end": 1.1}, {"identity": math.nan}])
def test_bad_values(values: dict[str, float]) -> None:
    with pytest.raises(InputError, match="guidance"):
        SignalFusion(**values)
