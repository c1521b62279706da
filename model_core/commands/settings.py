"""What the user's words on the command line mean: device, dtype, sampling settings."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Annotated

import torch

from ..bounds import Bounds, misfit, shown
from ..config import SamplingConfig
from ..errors import InputError
from ..models import FLOAT8
from ..paths import readable_folder


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


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """``auto`` is float32 on a CPU and float16 elsewhere; ``float8`` stores in it and computes in bfloat16."""
    if name == "auto":
        return torch.float32 if device.type == "cpu" else torch.float16
    known = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16, "float8": FLOAT8}
    return known[name]


def sampling_from(args: argparse.Namespace, defaults: SamplingConfig) -> SamplingConfig:
    """The model's settings with those the user gave; impossible ones are an InputError that names the option."""
    given = {f.name: getattr(args, f.name, None) for f in dataclasses.fields(SamplingConfig)}
    try:
        return dataclasses.replace(defaults, **{k: v for k, v in given.items() if v is not None})
    except InputError as error:
        raise InputError(f"--{error}") from error


def check_option(args: argparse.Namespace, name: str, bounds: Bounds) -> None:
    """Hold the number of an option, where it is given, to bounds.

    Raises:
        InputError: names the option.
    """
    value = getattr(args, name)
    remedy = "" if value is None else misfit(value, Annotated[int, bounds])
    if remedy:
        raise InputError(f"--{name.replace('_', '-')} {shown(value)}: {remedy}")


def model_folders(args: argparse.Namespace) -> list[Path]:
    """Where else to look for models; a folder that is not there is an InputError."""
    return [readable_folder(folder, name="--models-folder") for folder in args.models_folder]
