"""What the user's words on the command line mean: device, dtype, sampling settings."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import torch

from ..bounds import Bounds, misfit, shown
from ..config import SamplingConfig
from ..errors import InputError
from ..files import NamedPath
from ..models import FLOAT8, automatic_dtype
from ..paths import exists, readable_folder
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
    """The model's settings with those the user gave, other than "auto"; impossible ones name the option.

    Raises:
        InputError: a setting is out of bounds.
    """
    given = {f.name: getattr(args, f.name, None) for f in dataclasses.fields(SamplingConfig)}
    try:
        return dataclasses.replace(defaults, **{k: v for k, v in given.items() if v not in (None, "auto")})
    except InputError as error:
        raise InputError(f"--{error}") from error


def model_files(option: str, models: Iterable[str]) -> list[NamedPath]:
    """The weights files that models given by path stand for, as ``refuse_overwriting`` takes them; names give none."""
    paths = [Path(model) for model in models]
    found = [path for path in paths if exists(path) and (path.is_file() or holds_weights(path))]
    return [(option, file) for path in found for file in weight_files(path)]


def pairs_of(option: str, settings: Iterable[str], form: str) -> list[tuple[str, str]]:
    """What ``KEY=VALUE``, given any number of times, says.

    Args:
        form: how to write one, for the error.
    Raises:
        InputError: one has no ``=``; names the option.
    """
    pairs = []
    for setting in settings:
        key, separator, value = setting.partition("=")
        if not separator:
            raise InputError(f"{option} {setting}: write {form}")
        pairs.append((key, value))
    return pairs


def check_option(args: argparse.Namespace, name: str, bounds: Bounds) -> None:
    """Hold the number of an option, where it is given, to bounds.

    Raises:
        InputError: names the option.
    """
    value = getattr(args, name)
    remedy = "" if value is None else misfit(value, Annotated[type(value), bounds])
    if remedy:
        raise InputError(f"--{name.replace('_', '-')} {shown(value)}: {remedy}")


def model_folders(args: argparse.Namespace) -> list[Path]:
    """Where else to look for models; a folder that is not there is an InputError."""
    return [readable_folder(folder, name="--models-folder") for folder in args.models_folder]
