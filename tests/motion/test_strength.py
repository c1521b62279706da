from __future__ import annotations

from dataclasses import fields

import pytest

from model_core.errors import InputError
from model_core.motion.strength import EXPRESSION_ONLY, HEAD_ONLY, MOST, MotionStrength

NAMES = [field.name for field in fields(MotionStrength)]


def test_all_motion_is_taken_as_it_is_unless_told_otherwise() -> None:
    assert {getattr(MotionStrength(), name) for name in NAMES} == {1.0}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [-0.1, MOST + 0.1, float("nan"), float("inf"), "1", None, True])
def test_a_strength_that_cannot_be_is_named(name: str, value: object) -> None:
    with pytest.raises(InputError, match=f"strength: {name} "):
        MotionStrength(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0, 0.5, 1, MOST])
def test_the_ends_of_the_range_are_allowed(value: float) -> None:
    assert MotionStrength(mouth=value).mouth == value


def test_expression_and_head_share_the_motion_between_them() -> None:
    for name in NAMES:
        assert getattr(EXPRESSION_ONLY, name) + getattr(HEAD_ONLY, name) == 1.0
