"""``animate``: from files to a video and its contact sheet."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..config import SamplingConfig
from ..errors import InputError
from ..evaluation.sheet import contact_sheet
from ..faces.analyze import analyze_frames
from ..faces.analyzer import FaceAnalyzer
from ..faces.foreground import estimate_foreground
from ..faces.mediapipe_backend import MediaPipeAnalyzer
from ..images import check_reference, load_image, save_image, to_uint8
from ..models import PortraitModel, load_model
from ..motion.alignment import placement
from ..motion.masked_frames import masked_frames_signal
from ..pipeline import PortraitReference, decode, encode_reference, prepare_motion, sample_chunks
from ..types import FaceTrack, MotionSignal
from ..video.read import VideoInfo, open_video, read_chunks
from ..video.write import VideoWriter
from .progress import Stages, progress_observer
from .settings import choose_device, choose_dtype, sampling_from

_READ_CHUNK = 16
_COLUMNS = 8


@dataclass(frozen=True)
class _Driving:
    """The driving video: its face, and some frames to show."""

    track: FaceTrack
    shown: list[np.ndarray]
    shown_at: list[int]


def run(args: argparse.Namespace) -> None:
    """Animate; everything a user can get wrong is checked before the long work begins."""
    stages = Stages()
    device = choose_device(args.device)
    with stages("load model"):
        model = load_model(
            args.model,
            device=device,
            dtype=choose_dtype(args.dtype, device),
            folders=[Path(folder) for folder in args.models_folder],
        )
        sampling = sampling_from(args, model.config.sampling)
    if args.frames is not None and args.frames < 1:
        raise InputError(f"--frames {args.frames}: must be at least 1")
    image = check_reference(load_image(args.reference), name=args.reference)
    info = open_video(args.driving)
    writer = VideoWriter(
        args.output, fps=info.fps, audio_from=args.driving if info.has_audio and not args.no_audio else None
    )
    analyzer = MediaPipeAnalyzer()
    with stages("analyse faces"):
        track = _analyze([_frame(image)], analyzer, args, name=args.reference, face_index=0)
        foreground = _foreground(args, image, track)
        driving = _analyze_driving(args, info, analyzer)
    with stages("encode reference"):
        reference = encode_reference(model, image, track=track, foreground=foreground, framing=args.framing)
        motion = _motion(args, model, driving.track, reference)
    shown = _write_video(writer, model, reference, motion, sampling, driving.shown_at, stages)
    print(f"wrote {args.output}: {len(motion)} frames of {model.config.size[1]}x{model.config.size[0]}")
    if args.sheet:
        portrait = to_uint8(decode(model, reference.latents[None]))[0]
        maps = [to_uint8(motion.frames[[i]] * 2 - 1)[0] for i in driving.shown_at]
        save_image(contact_sheet(_rows(driving.shown, maps, shown), reference=portrait), args.sheet)
        print(f"wrote {args.sheet}")
    print(stages.table())


def _rows(
    driving: list[np.ndarray], maps: list[np.ndarray], result: list[np.ndarray]
) -> list[tuple[str, list[np.ndarray]]]:
    return [("driving", driving), ("motion", maps), ("result", result)]


def _frame(image: Tensor) -> np.ndarray:
    return to_uint8(image)[0]


def _foreground(args: argparse.Namespace, image: Tensor, track: FaceTrack) -> Tensor:
    if args.mask is None:
        return estimate_foreground(image, track)
    mask = (load_image(args.mask).mean(1, keepdim=True) + 1) / 2
    if mask.shape[-2:] != image.shape[-2:]:
        raise InputError(
            f"{args.mask}: {mask.shape[-1]}x{mask.shape[-2]} pixels, the portrait has "
            f"{image.shape[-1]}x{image.shape[-2]}; give a mask of the same size"
        )
    return mask


def _analyze(
    frames: Iterable[np.ndarray],
    analyzer: FaceAnalyzer,
    args: argparse.Namespace,
    *,
    name: str,
    face_index: int,
) -> FaceTrack:
    return analyze_frames(
        frames, analyzer, name=name, face_index=face_index, max_gap=args.max_gap, smoothing=args.smooth
    )


def _analyze_driving(args: argparse.Namespace, info: VideoInfo, analyzer: FaceAnalyzer) -> _Driving:
    """Follow the driving face through the stream; only the frames to show are kept."""
    total = min(info.frames or args.frames or 0, args.frames or 10**9) or None
    shown_at = sorted({round(i) for i in np.linspace(0, max((total or 1) - 1, 0), _COLUMNS)})
    kept: dict[int, np.ndarray] = {}

    def stream() -> Iterator[np.ndarray]:
        chunks = read_chunks(args.driving, chunk=_READ_CHUNK, limit=args.frames)
        with tqdm(total=total, desc="analyse", unit="frame", file=sys.stderr) as bar:
            for index, frame in enumerate(islice((f for chunk in chunks for f in chunk), args.frames)):
                if index in shown_at:
                    kept[index] = frame.copy()
                bar.update()
                yield frame

    track = _analyze(stream(), analyzer, args, name=args.driving, face_index=args.face)
    return _Driving(track, list(kept.values()), list(kept))


def _motion(
    args: argparse.Namespace, model: PortraitModel, track: FaceTrack, reference: PortraitReference
) -> MotionSignal:
    """The motion signal; driving frames, where it shows them, are read again a few at a time."""
    if model.config.motion_kind != "masked_frames":
        return prepare_motion(model, track, reference=reference.track, alignment=args.alignment)
    assert reference.track is not None
    place = placement(track, reference.track, mode=args.alignment)
    parts, done = [], 0
    for chunk in read_chunks(args.driving, chunk=_READ_CHUNK, limit=len(track)):
        frames = torch.from_numpy(chunk).permute(0, 3, 1, 2).float() / 127.5 - 1
        own = track.take(range(done, done + len(frames)))
        parts.append(masked_frames_signal(frames, own, size=model.config.size, place=place).frames)
        done += len(frames)
    return MotionSignal("masked_frames", torch.cat(parts))


def _write_video(
    writer: VideoWriter,
    model: PortraitModel,
    reference: PortraitReference,
    motion: MotionSignal,
    sampling: SamplingConfig,
    shown_at: list[int],
    stages: Stages,
) -> list[np.ndarray]:
    """Sample, decode and write chunk by chunk; returns the frames to show."""
    shown: list[np.ndarray] = []
    done = 0
    with writer, tqdm(desc="animate", unit="window", file=sys.stderr) as bar:
        chunks = sample_chunks(model, reference, motion, sampling, observer=progress_observer(bar))
        while True:
            with stages("sample"):
                latents = next(chunks, None)
            if latents is None:
                break
            with stages("decode and write"):
                frames = to_uint8(decode(model, latents))
                writer.append(frames)
            shown += [frames[i - done] for i in shown_at if done <= i < done + len(frames)]
            done += len(frames)
    return shown
