"""What the user's words on the command line mean: device, dtype, sampling settings."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from ..config import SamplingConfig
from ..errors import InputError
from ..files import NamedPath
from ..models import FLOAT8, automatic_dtype
from ..weights.folder import holds_weights, weight_files


def choose_device(name: str) -> torch.device:
    """``auto`` is the accelerator where there is one; a device that is not there is an InputError."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {name}: not usable here ({error}); try --device cpu") from error
    return device


def choose_dtype(name: str, device: torch.device, paths: Sequence[str | Path] = ()) -> torch.dtype:
    """``auto`` is float32 on a CPU and elsewhere float16, or what a model that overflows in it asks for.

    ``float8`` stores in it and computes in bfloat16.

    Args:
        paths: the files of the model.
    """
    if name == "auto":
        return automatic_dtype(paths, torch.float32 if device.type == "cpu" else torch.float16, device)
    known = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16, "float8": FLOAT8}
    return known[name]


def sampling_from(args: argparse.Namespace, defaults: SamplingConfig) -> SamplingConfig:
    """The model's settings with those the user gave, other than "auto"; impossible ones are an InputError."""
    given = {f.name: getattr(args, f.name, None) for f in dataclasses.fields(SamplingConfig)}
    settings = dataclasses.replace(defaults, **{k: v for k, v in given.items() if v not in (None, "auto")})
    for name, least in {"steps": 0, "window": 1, "chunk": 1, "history": 0}.items():
        if getattr(settings, name) < least:
            raise InputError(f"--{name} {getattr(settings, name)}: must be at least {least}")
    if not 0 <= settings.overlap < settings.window:
        raise InputError(
            f"--overlap {settings.overlap} with --window {settings.window}: the overlap must be at least 0 "
            "and smaller than the window"
        )
    return settings


def model_files(option: str, models: Iterable[str]) -> list[NamedPath]:
    """The weights files that models given by path stand for, as ``refuse_overwriting`` takes them; names give none."""
    paths = [Path(model) for model in models]
    found = [path for path in paths if path.is_file() or holds_weights(path)]
    return [(option, file) for path in found for file in weight_files(path)]
