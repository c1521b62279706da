"""``compare``: several models on the same input, side by side in one video and one sheet. For short clips."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor
from tqdm import tqdm

from ..bounds import Bounds
from ..config import SamplingConfig
from ..evaluation.sheet import contact_sheet
from ..faces.analyze import analyze_frames
from ..faces.backends import load_analyzer
from ..faces.foreground import estimate_foreground
from ..files import refuse_overwriting
from ..images import IMAGE_SUFFIXES, check_reference, load_image, save_image, to_uint8
from ..models import PortraitModel, load_model
from ..motion.scenes import MotionSettings
from ..paths import writable_file
from ..pipeline import FinishedChunk, a_few_at_once, animate, drive, encode_reference, finisher_of
from ..portraits import analyze_portrait
from ..types import FaceTrack
from ..video.h264 import CONTAINERS
from ..video.read import open_video, read_video
from ..video.write import VideoWriter
from ..warp.full_size import OutputSize, output_size
from .compare_metrics import print_metrics
from .motion import motion_from, size_from
from .settings import check_option, choose_device, model_files, model_folders

_COLUMNS = 8
WITHOUT = "without the network"
"""The carried portrait alone, which every model starts from."""


def run(args: argparse.Namespace) -> None:
    """Animate by every model with its own settings and write the results next to one another."""
    check_option(args, "frames", Bounds(1, 2**31))
    refuse_overwriting(
        [("--output", args.output), ("--sheet", args.sheet)],
        [("--reference", args.reference), ("--driving", args.driving), *model_files("--models", args.models)],
    )
    writable_file(args.output, name="--output", suffixes=tuple(CONTAINERS))
    writable_file(args.sheet, name="--sheet", suffixes=IMAGE_SUFFIXES)
    settings, size = motion_from(args), size_from(args.size)
    image = load_image(args.reference)
    check_reference(image, name=args.reference)
    if size != "model":
        output_size((image.shape[-2], image.shape[-1]), size)
    info = open_video(args.driving)
    models = {name: _model(args, name) for name in args.models}
    pixels = read_video(args.driving, limit=args.frames)
    analyzer = load_analyzer(args.analyzer, folders=model_folders(args), device=choose_device(args.device))
    track = analyze_portrait(to_uint8(image)[0], analyzer, name=args.reference)
    driving = analyze_frames(pixels, analyzer, name=args.driving)
    inputs = _Inputs(image, track, estimate_foreground(image, track), driving, pixels, settings, size)
    first = models[args.models[0]]
    made = {WITHOUT: _frames(first, WITHOUT, inputs, replace(first.config.sampling, steps=0))}
    made |= {name: _frames(model, name, inputs, model.config.sampling) for name, model in models.items()}
    height = max(clip.shape[1] for clip in made.values())
    with VideoWriter(args.output, fps=info.fps, audio_from=args.driving if info.has_audio else None) as writer:
        writer.append(np.concatenate([_of_height(clip, height) for clip in made.values()], axis=2))
    shown = np.linspace(0, len(pixels) - 1, min(_COLUMNS, len(pixels))).round().astype(int)
    rows = [("driving", list(pixels[shown])), *((name, list(clip[shown])) for name, clip in made.items())]
    save_image(contact_sheet(rows, reference=to_uint8(image)[0]), args.sheet)
    print(f"wrote {args.output} and {args.sheet}: {', '.join(made)}, left to right")
    if args.metrics:
        print_metrics(to_uint8(image)[0], pixels, made)


@dataclass(frozen=True)
class _Inputs:
    """The same for all models."""

    image: Tensor
    track: FaceTrack
    foreground: Tensor
    driving: FaceTrack
    pixels: np.ndarray
    settings: MotionSettings
    size: OutputSize


def _model(args: argparse.Namespace, name: str) -> PortraitModel:
    return load_model(name, device=choose_device(args.device), folders=model_folders(args))


def _frames(model: PortraitModel, name: str, inputs: _Inputs, sampling: SamplingConfig) -> np.ndarray:
    """The frames of one model, (F, H, W, 3) uint8."""
    reference = encode_reference(model, inputs.image, track=inputs.track, foreground=inputs.foreground)
    motion = drive(model, reference, inputs.driving, settings=inputs.settings, frames=a_few_at_once(inputs.pixels))
    finisher = finisher_of(reference, inputs.size, device=model.device)
    made: list[np.ndarray] = []
    with tqdm(total=len(motion), desc=name, unit="frame", file=sys.stderr) as bar:
        for event in animate(model, reference, motion, sampling, finisher=finisher):
            if isinstance(event, FinishedChunk):
                made += event.frames
                bar.update(len(event.chunk))
    return np.stack(made)


def _of_height(clip: np.ndarray, height: int) -> np.ndarray:
    """A clip with black under it, where another is higher."""
    return np.pad(clip, ((0, 0), (0, height - clip.shape[1]), (0, 0), (0, 0)))
