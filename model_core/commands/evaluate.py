"""``evaluate``: cross-identity reenactment of held-out avatars against the exact ground truth."""

from __future__ import annotations

import argparse
import dataclasses
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..config import SamplingConfig
from ..errors import InputError
from ..evaluation.extractors import LandmarkExtractor, landmark_extractor
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
from ..images import save_image, to_uint8
from ..models import PortraitModel, load_model
from ..motion.alignment import Alignment, align
from ..motion.components import RINGS
from ..motion.parsing_map import parsing_map_signal
from ..pipeline import decode, encode_reference, sample_clip
from ..training.avatars import HELD_OUT_SEED, make_clip
from ..types import Component, FaceTrack, MotionSignal
from .settings import choose_device, sampling_from

_MEASURED = sorted({int(i) for c, ring in RINGS.items() if c is not Component.FACE for i in ring})
_SHOWN = 8


@dataclass(frozen=True)
class _Case:
    """One held-out identity driven by another.

    Attributes:
        reference: (1, 3, H, W) in [-1, 1], the target's first frame.
        foreground: (1, 1, H, W).
        own: the reference's face.
        driving: another identity's face performing the reference's and then the target's motion, F + 1 frames.
        target: (F, 3, H, W), what has to come out.
    """

    reference: Tensor
    foreground: Tensor
    own: FaceTrack
    driving: FaceTrack
    target: Tensor


def _track(landmarks: np.ndarray, size: tuple[int, int]) -> FaceTrack:
    points = landmarks[..., :2]
    boxes = np.concatenate([points.min(1), points.max(1)], axis=1)
    ones = np.ones(len(landmarks))
    return FaceTrack(boxes, landmarks, ones.astype(np.float32), ones.astype(bool), size)


def _cases(count: int, frames: int, size: tuple[int, int]) -> Iterator[_Case]:
    for index in range(count):
        clip = make_clip(HELD_OUT_SEED + index, frames=frames + 1, drivers=1, size=size[0])
        images = torch.from_numpy(clip["images"]).permute(0, 3, 1, 2).float() / 127.5 - 1
        yield _Case(
            reference=images[:1],
            foreground=torch.from_numpy(clip["foreground"][:1, None]).float() / 255,
            own=_track(clip["landmarks"][:1], size),
            driving=_track(clip["driving_landmarks"][0], size),
            target=images[1:],
        )


Method = Callable[[_Case], Tensor]
"""Makes (F, 3, H, W) in [-1, 1] of a case."""


def _copy(case: _Case) -> Tensor:
    return case.reference.expand_as(case.target)


def _motion(case: _Case, size: tuple[int, int], alignment: Alignment) -> MotionSignal:
    """The driving motion as ``animate`` prepares it, without the frame that shows the reference's own motion."""
    placed = align(case.driving, case.own, mode=alignment)
    return parsing_map_signal(placed.take(range(1, len(placed))), size=size)


def _by_model(model: PortraitModel, sampling: SamplingConfig, alignment: Alignment = "relative") -> Method:
    def run(case: _Case) -> Tensor:
        reference = encode_reference(model, case.reference, track=case.own, foreground=case.foreground, framing="full")
        motion = _motion(case, model.config.size, alignment)
        return decode(model, sample_clip(model, reference, motion, sampling)).cpu()

    return run


def _methods(args: argparse.Namespace) -> tuple[dict[str, Method], PortraitModel]:
    device = choose_device(args.device)
    folders = [Path(folder) for folder in args.models_folder]
    model = load_model(args.model, device=device, folders=folders)
    # short windows and chunks, so that overlap and history have something to do in a short clip
    defaults = dataclasses.replace(model.config.sampling, window=8, overlap=3, chunk=16)
    sampling = sampling_from(args, defaults)
    methods: dict[str, Method] = {
        "copy of the reference": _copy,
        model.config.name: _by_model(model, sampling),
        "with absolute alignment": _by_model(model, sampling, "absolute"),
        "without cyclic overlap": _by_model(model, dataclasses.replace(sampling, cyclic=False, overlap=0)),
        "without history": _by_model(model, dataclasses.replace(sampling, history=0)),
    }
    for ablation in args.ablation:
        name, separator, path = ablation.partition("=")
        if not separator:
            raise InputError(f"--ablation {ablation}: write NAME=MODEL")
        methods[name] = _by_model(load_model(path, device=device, folders=folders), sampling)
    return methods, model


def _measure(made: Tensor, case: _Case, truth: np.ndarray, extract: LandmarkExtractor) -> Curves:
    found = extract(to_uint8(made))
    marks = Landmarks(found.points, truth, found.found, _MEASURED)
    return measure(made, case.target, landmarks=marks)


def run(args: argparse.Namespace) -> None:
    """Measure every method on the same cases; writes table, figures, plot and sheet."""
    methods, model = _methods(args)
    extract = landmark_extractor(MediaPipeAnalyzer())
    curves: dict[str, list[Curves]] = {name: [] for name in methods}
    seconds = dict.fromkeys(methods, 0.0)
    first: list[tuple[str, list[np.ndarray]]] = []
    output = Path(args.output)
    bar = tqdm(total=args.identities * len(methods), desc="evaluate", unit="clip")
    for index, case in enumerate(_cases(args.identities, args.frames, model.config.size)):
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
            maps = _motion(case, model.config.size, "relative").frames * 2 - 1
            rows = [("driving map", _some(maps)), *first[1:], ("ground truth", _some(case.target))]
            save_image(contact_sheet(rows, reference=to_uint8(case.reference)[0]), output / "sheet.png")
    bar.close()
    _report(args, curves, seconds, output)


def _some(frames: Tensor) -> list[np.ndarray]:
    index = np.linspace(0, len(frames) - 1, min(_SHOWN, len(frames))).round().astype(int)
    return list(to_uint8(frames[index]))


def _report(args: argparse.Namespace, curves: dict[str, list[Curves]], seconds: dict[str, float], output: Path) -> None:
    scores = [summarise(name, clips) for name, clips in curves.items()]
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
    (output / "table.md").write_text(table + "\n", encoding="utf-8")
    plot_curves(output / "curves.png", {name: clips[0] for name, clips in curves.items()})
    print(table)
    print(f"wrote {output}: table.md, scores.json, curves.png, sheet.png")
