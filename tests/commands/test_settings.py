from __future__ import annotations

import argparse

import pytest

from model_core.cli import add_animate
from model_core.commands.settings import sampling_from
from model_core.config import SamplingConfig
from model_core.errors import InputError

OWN = SamplingConfig(steps=7, scheduler="lcm", denoise=0.75)


def settings(*words: str) -> SamplingConfig:
    parser = argparse.ArgumentParser()
    add_animate(parser)
    return sampling_from(parser.parse_args(words), OWN)


def test_what_is_not_said_is_the_model_s_own() -> None:
    assert settings() == OWN


def test_what_is_said_counts() -> None:
    made = settings("--steps", "0", "--denoise", "0.4", "--scheduler", "ddim", "--history", "0")
    assert (made.steps, made.denoise, made.scheduler, made.history) == (0, 0.4, "ddim", 0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--steps", "-1"), "--steps -1: must be from 0 to 1000"),
        (("--window", "0"), "--window 0: must be from 1 to 1024"),
        (("--chunk", "0"), "--chunk 0: must be from 1 to 100000"),
        (("--history", "-2"), "--history -2: must be from 0 to 1024"),
        (("--denoise", "0"), "--denoise 0.0: must be above 0 and at most 1"),
        (("--denoise", "1.2"), "--denoise 1.2: must be above 0 and at most 1"),
        (("--denoise", "nan"), "--denoise nan: must be above 0 and at most 1"),
    ],
)
def test_impossible_words_are_named(words: tuple[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        settings(*words)
