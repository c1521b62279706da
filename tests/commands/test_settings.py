from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import pytest
import torch

from model_core.commands.options import add_animate
from model_core.commands.settings import choose_dtype, sampling_from
from model_core.config import SamplingConfig
from model_core.errors import InputError
from model_core.models import FLOAT8, PortraitModel, save_model

OWN = SamplingConfig(steps=7, scheduler="lcm", denoise=0.75)


def settings(*words: str) -> SamplingConfig:
    parser = argparse.ArgumentParser()
    add_animate(parser)
    return sampling_from(parser.parse_args(words), OWN)


def test_what_is_not_said_is_the_model_s_own() -> None:
    assert settings() == OWN


def test_auto_is_the_model_s_own_and_the_first_choice(capsys: pytest.CaptureFixture[str]) -> None:
    assert settings("--steps", "auto", "--scheduler", "auto") == OWN
    with pytest.raises(SystemExit):
        settings("--help")
    told = " ".join(capsys.readouterr().out.split())
    assert "--steps auto | N denoising steps; auto: the model's own (default)" in told
    assert "--scheduler {auto,ddim," in told


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


@pytest.mark.parametrize(
    ("dtypes", "device", "chosen"),
    [
        (None, "cuda", torch.float16),
        (None, "cpu", torch.float32),
        (("float32", "bfloat16"), "cuda", torch.bfloat16),
        (("float32",), "cuda", torch.float32),
        ((), "cuda", torch.float32),
        (("float16",), "cpu", torch.float32),
    ],
)
def test_auto_is_no_dtype_in_which_the_model_overflows(
    tiny_model: PortraitModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    dtypes: tuple[str, ...] | None,
    device: str,
    chosen: torch.dtype,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    config = tiny_model.config if dtypes is None else dataclasses.replace(tiny_model.config, dtypes=dtypes)
    save_model(dataclasses.replace(tiny_model, config=config), tmp_path / "model.safetensors")
    files = [tmp_path / "model.safetensors"]
    assert choose_dtype("auto", torch.device(device), files) is chosen
    assert choose_dtype("float16", torch.device(device), files) is torch.float16, "the user's word counts"
    assert choose_dtype("float8", torch.device(device), files) is FLOAT8


def test_where_bfloat16_is_not_computed_auto_is_float32(
    tiny_model: PortraitModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    config = dataclasses.replace(tiny_model.config, dtypes=("float32", "bfloat16"))
    save_model(dataclasses.replace(tiny_model, config=config), tmp_path / "model.safetensors")
    assert choose_dtype("auto", torch.device("cuda"), [tmp_path / "model.safetensors"]) is torch.float32


def test_public_files_say_nothing_of_dtypes(public_folder: Path) -> None:
    assert choose_dtype("auto", torch.device("cuda"), [public_folder]) is torch.float16
