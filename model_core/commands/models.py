"""``models``: list what is found, say what files are, and write them as one file of this project's own."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ..backbones.dit.config import DiTConfig
from ..backbones.dit.denoiser import parameter_counts
from ..errors import CheckpointError, InputError
from ..files import refuse_overwriting
from ..models import listed_models, load_files, read_config, save_model
from ..paths import writable_file
from ..plain import from_yaml
from ..weights.detect import Recognised, describe_facts
from ..weights.plan import Survey, explain, survey
from ..weights.sd3 import sd3_config
from .settings import model_files, model_folders, pairs_of

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def run(args: argparse.Namespace) -> None:
    """What the words after ``models`` ask for."""
    {None: _list, "inspect": _inspect, "convert": _convert}[args.action](args)


def _list(args: argparse.Namespace) -> None:
    for entry in listed_models(model_folders(args)):
        if entry.problem:
            print(f"left out: {entry.problem}", file=sys.stderr)
            continue
        origin = "bundled" if entry.bundled else str(entry.path)
        print(f"{entry.name:<28} {entry.family:<6} {origin}")


def _inspect(args: argparse.Namespace) -> None:
    """Each file, then all of them together; exit status 0 also where something is missing: it was asked."""
    found = survey(_paths(args.files), overrides=overrides_from(args.set), preset=args.preset)
    for file in found.files:
        _print_file(file)
    _print_base(found.files)
    _print_together(found)


def _print_file(file: Recognised) -> None:
    header = file.header
    kind = str(file.dtype).removeprefix("torch.")
    print(f"{header.path}: {len(header.shapes)} tensors, {header.parameters / 1e6:.2f} M parameters, {kind}")
    if file.ours:
        config = read_config(header.path)
        print("  a model of this project: complete by itself; `animate --model` takes it")
        print(f"  family {config.family}, motion signal {config.motion_kind}, size {config.size[1]}x{config.size[0]}")
        if config.family == "dit":
            _print_counts(DiTConfig(**config.backbone))
        return
    if file.refusal:
        print(f"  {file.refusal}")
    for piece in file.pieces:
        print(f"  {piece.title}")
        print(f"    {describe_facts(piece.facts)}")
    for reason in file.ignored:
        print(f"  not needed: {reason}")
    if file.unknown:
        print(f"  keys that the format does not know ({len(file.unknown)}): {', '.join(file.unknown[:8])}")


def _print_base(files: Sequence[Recognised]) -> None:
    """What the files of a base model would grow into."""
    try:
        config = sd3_config([file.header for file in files if file.refusal])
    except CheckpointError as error:
        print(f"\n{error}")
        return
    if config is not None:
        print("\nas the base of the DiT family:")
        _print_counts(config)


def _print_counts(config: DiTConfig) -> None:
    base, new = parameter_counts(config)
    layers = f"{len(config.video_attention_after)} layers of {config.video_attention} video attention"
    print(f"  base transformer {base / 1e6:.2f} M parameters; new {new / 1e6:.2f} M ({new / base:.1%}): {layers}")


def _print_together(found: Survey) -> None:
    if len(found.files) == 1 and found.files[0].ours:
        return
    if not found.roles:
        print("\nnone of these files is part of a model")
        return
    config = found.config
    print(f"\ntogether: {found.preset.title}; {found.preset.about}")
    print(f"  motion signal {config.motion_kind}, size {config.size[1]}x{config.size[0]}")
    for line in explain(found)[len(found.files) :]:
        print(line)
    print("complete: this runs" if found.complete else "not complete: this does not run yet")


def _convert(args: argparse.Namespace) -> None:
    output = Path(args.output)
    if output.suffix != ".safetensors":
        raise InputError(f"--output {output}: the file's name has to end in .safetensors")
    writable_file(output, name="--output")
    refuse_overwriting([("--output", output)], model_files("the weights", args.files))
    dtype = _DTYPES[args.dtype]
    model = load_files(_paths(args.files), dtype=dtype, overrides=overrides_from(args.set), preset=args.preset)
    save_model(model, output, dtype=dtype)
    print(f"wrote {output}: {output.stat().st_size / 1e9:.2f} GB, {args.dtype}")


def _paths(names: Sequence[str]) -> list[Path]:
    return [Path(name) for name in names]


def overrides_from(settings: Sequence[str]) -> Mapping[str, Any]:
    """``["backbone.norm_num_groups=8", ...]`` as nested settings."""
    overrides: dict[str, Any] = {}
    for place, value in pairs_of("--set", settings, "KEY=VALUE, e.g. backbone.norm_num_groups=8"):
        *groups, name = place.split(".")
        inner = overrides
        for group in groups:
            inner = inner.setdefault(group, {})
            if not isinstance(inner, dict):
                raise InputError(f"--set {place}={value}: {group} was set to a value before")
        inner[name] = from_yaml(value, name=f"--set {place}")
    return overrides
