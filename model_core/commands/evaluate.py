"""``evaluate``: cross-identity reenactment of held-out avatars against the exact ground truth.

With sets of the user's own it is evaluate_sets.py's.
"""

from __future__ import annotations

import argparse
import dataclasses
import platform
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..bounds import Bounds
from ..config import SamplingConfig
from ..errors import InputError
from ..evaluation.cases import Case, held_out_cases
from ..evaluation.extractors import LandmarkExtractor, landmark_extractor
from ..evaluation.methods import Method, Variant, by_model, methods_of, placed
from ..evaluation.report import (
    Curves,
    Landmarks,
    markdown_table,
    measure,
    plot_curves,
    summarise,
    write_json,
)
from ..evaluation.sheet import contact_sheet
from ..faces.mediapipe_backend import MediaPipeAnalyzer
from ..families import check_sampling
from ..files import refuse_overwriting
from ..images import save_image, to_uint8
from ..models import PortraitModel, load_model
from ..motion.components import RINGS
from ..paths import writable_folder, writing
from ..types import Component
from .evaluate_sets import named_models, run_sets
from .settings import check_option, choose_device, model_files, model_folders, sampling_from
from .sweep import plot_sweep, sweep_methods

_MEASURED = sorted({int(i) for c, ring in RINGS.items() if c is not Component.FACE for i in ring})
_SHOWN = 8
_WRITTEN = ("scores.json", "table.md", "curves.png", "sheet.png", "sweep.png")


def _methods(args: argparse.Namespace) -> tuple[dict[str, Method], PortraitModel, SamplingConfig]:
    device = choose_device(args.device)
    folders = model_folders(args)
    name, *others = args.model
    model = load_model(name, device=device, folders=folders)
    # short windows and chunks, so that overlap and history have something to do in a short clip
    window = min(8, model.config.sampling.window)
    defaults = dataclasses.replace(model.config.sampling, window=window, overlap=min(3, window - 1), chunk=16)
    sampling = sampling_from(args, defaults)
    check_sampling(model.config, sampling)
    if model.config.size[0] != model.config.size[1]:
        raise InputError(
            f"--model {name}: makes frames that are not square, but the held-out avatars are; choose another"
        )
    methods = methods_of(model, sampling)
    beside = [(path, path, "--model") for path in others]
    beside += [(row, path, "--ablation") for row, path in named_models(args)]
    for row, path, option in beside:
        other = _comparable(load_model(path, device=device, folders=folders), model, f"{option} {path}")
        methods[row] = by_model(other, sampling)
    if args.sweep:
        methods |= sweep_methods(model, sampling)
    return methods, model, sampling


def _comparable(other: PortraitModel, model: PortraitModel, name: str) -> PortraitModel:
    """The other model, unless its frames have another size."""
    if other.config.size != model.config.size:
        sizes = (
            f"{other.config.size[1]}x{other.config.size[0]}, the model's {model.config.size[1]}x{model.config.size[0]}"
        )
        raise InputError(f"{name}: its frames are {sizes}; choose models of one size")
    return other


def _measure(made: Tensor, case: Case, truth: np.ndarray, extract: LandmarkExtractor) -> Curves:
    found = extract(to_uint8(made))
    marks = Landmarks(found.points, truth, found.found, _MEASURED)
    return measure(made, case.target, landmarks=marks)


def run(args: argparse.Namespace) -> None:
    """Measure every method on the same cases; writes table, figures, plot and sheet."""
    if args.clips or args.portraits or args.heads or args.photos:
        run_sets(args)
        return
    if args.ablate:
        raise InputError("--ablate: is for sets; give --clips or --heads, or leave it out: avatars are always ablated")
    check_option(args, "identities", Bounds(1, 100_000))
    check_option(args, "frames", Bounds(1, 10_000))
    output = writable_folder(args.output, name="--output")
    models = [*args.model, *(path for _, path in named_models(args))]
    refuse_overwriting([("--output", output / name) for name in _WRITTEN], model_files("--model", models))
    methods, model, sampling = _methods(args)
    extract = landmark_extractor(MediaPipeAnalyzer())
    curves: dict[str, list[Curves]] = {name: [] for name in methods}
    seconds = dict.fromkeys(methods, 0.0)
    first: list[tuple[str, list[np.ndarray]]] = []
    bar = tqdm(total=args.identities * len(methods), desc="evaluate", unit="clip")
    for index, case in enumerate(held_out_cases(args.identities, args.frames, model.config.size)):
        truth = extract(to_uint8(case.target)).points
        for name, method in methods.items():
            started = time.perf_counter()
            made = method(case)
            seconds[name] += time.perf_counter() - started
            curves[name].append(_measure(made, case, truth, extract))
            bar.update()
            if index == 0:
                first.append((name, _some(made)))
        if index == 0:
            signal = placed("retarget")(model, case).frames * 2 - 1
            rows = [("driving signal", _some(signal)), *first[1:], ("ground truth", _some(case.target))]
            save_image(contact_sheet(rows, reference=to_uint8(case.reference)[0]), output / "sheet.png")
    bar.close()
    _report(args, curves, seconds, output, Variant(model, sampling).seams(args.frames))


def _some(frames: Tensor) -> list[np.ndarray]:
    index = np.linspace(0, len(frames) - 1, min(_SHOWN, len(frames))).round().astype(int)
    return list(to_uint8(frames[index]))


def _report(
    args: argparse.Namespace,
    curves: dict[str, list[Curves]],
    seconds: dict[str, float],
    output: Path,
    seams: Sequence[int],
) -> None:
    scores = [summarise(name, clips, seams=seams) for name, clips in curves.items()]
    table = markdown_table(scores)
    write_json(
        output / "scores.json",
        scores,
        identities=args.identities,
        frames=args.frames,
        seconds=seconds,
        torch=torch.__version__,
        machine=platform.machine(),
    )
    with writing(output / "table.md"):
        (output / "table.md").write_text(table + "\n", encoding="utf-8")
    plot_curves(output / "curves.png", {name: clips[0] for name, clips in curves.items()})
    if args.sweep:
        plot_sweep(output / "sweep.png", scores)
    print(table)
    print(f"wrote {output}: table.md, scores.json, curves.png, sheet.png")
