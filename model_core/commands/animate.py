"""``animate``: from files to a video and its contact sheet; run again, it goes on where it was left."""

from __future__ import annotations

import argparse
import sys
from functools import cache
from pathlib import Path

import numpy as np
from torch import Tensor
from tqdm import tqdm

from ..bounds import Bounds
from ..bundled import DEFAULT_MODEL
from ..config import SamplingConfig
from ..errors import InputError
from ..evaluation.sheet import contact_sheet
from ..faces.backends import load_analyzer
from ..files import NamedPath, refuse_overwriting
from ..images import IMAGE_SUFFIXES, check_reference, load_image, save_image, to_uint8
from ..jobs import FaceSettings, VideoJob, VideoResult, Watcher, animate_video, job_folder
from ..models import PortraitModel, find_model, load_files
from ..paths import writable_file
from ..pipeline import DrivingMotion
from ..sampling import Chunk
from ..sampling.estimate import count_windows
from ..types import StepEvent
from ..video.h264 import CONTAINERS
from ..video.read import open_video, read_shots
from .motion import motion_from, size_from
from .progress import Stages, progress_observer
from .settings import check_option, choose_device, choose_dtype, model_files, model_folders, sampling_from

_COLUMNS = 8


def run(args: argparse.Namespace) -> int:
    """Animate one portrait, or a list of them; returns the exit status."""
    if args.batch is not None:
        from .batch import run_batch

        return run_batch(args)
    if args.ray:
        raise InputError("--ray: runs a list of videos; give the list with --batch")
    animate_one(args)
    return 0


def animate_one(args: argparse.Namespace) -> VideoResult:
    """Everything a user can get wrong is checked before the long work begins.

    Raises:
        PortraitError: names the input and the remedy.
    """
    for name in ("reference", "driving", "output"):
        if not getattr(args, name):
            raise InputError(f"--{name}: is missing; give it, or a list of videos with --batch")
    refuse_overwriting(written(args), read(args))
    check_outputs(args)
    stages = Stages()
    with stages("load model"):
        folders = tuple(model_folders(args))
        model = _model(args.model, args.device, args.dtype, folders, tuple(args.part))
        job = video_job(args, model)
        analyzer = load_analyzer(args.analyzer, folders=folders, device=model.device)
    view = _View(args, stages, job.sampling)
    with view:
        result = animate_video(
            job,
            model=model,
            analyzer=analyzer,
            folder=job_folder(job.output, args.job_folder),
            watcher=Watcher(say=view.say, looked=view.looked, observer=view.observed, planned=view.planned),
        )
    height, width = open_video(job.output).size
    print(f"wrote {args.output}: {result.frames} frames of {width}x{height}")
    if args.sheet:
        _write_sheet(args, job, view.maps)
        print(f"wrote {args.sheet}")
    print(stages.table())
    return result


def read(args: argparse.Namespace) -> list[NamedPath]:
    """The files that the user's words make it read."""
    media = [(f"--{name}", getattr(args, name)) for name in ("reference", "driving", "mask")]
    return [*media, *model_files("--model", [args.model]), *model_files("--part", args.part)]


def written(args: argparse.Namespace) -> list[NamedPath]:
    """The files and the folder that the user's words make it write."""
    folder = job_folder(Path(args.output), args.job_folder)
    return [("--output", args.output), ("--sheet", args.sheet), ("--job-folder", folder)]


def check_outputs(args: argparse.Namespace) -> None:
    """Whatever would stop the last step stops the first; nothing is made."""
    writable_file(args.output, name="--output", suffixes=tuple(CONTAINERS))
    if args.sheet:
        writable_file(args.sheet, name="--sheet", suffixes=IMAGE_SUFFIXES)


@cache
def _model(name: str, device: str, dtype: str, folders: tuple[Path, ...], parts: tuple[str, ...]) -> PortraitModel:
    """Loaded once for all videos of a list."""
    place = choose_device(device)
    whole = [] if parts and name == DEFAULT_MODEL else [find_model(name, folders)]
    files = [*whole, *map(Path, parts)]
    return load_files(files, device=place, dtype=choose_dtype(dtype, place, files))


def video_job(args: argparse.Namespace, model: PortraitModel) -> VideoJob:
    """What the user's words mean."""
    check_option(args, "frames", Bounds(1, 2**31))
    size = size_from(args.size)
    image = check_reference(load_image(args.reference), name=args.reference)
    return VideoJob(
        image=image,
        name=args.reference,
        driving=Path(args.driving),
        output=Path(args.output),
        mask=None if args.mask is None else _mask(args.mask, image),
        sampling=sampling_from(args, model.config.sampling),
        motion=motion_from(args),
        framing=args.framing,
        faces=_faces(args),
        frames=args.frames,
        size=size,
        paste=args.paste,
        match_colour=not args.no_colour_match,
        sound=not args.no_audio,
    )


def _faces(args: argparse.Namespace) -> FaceSettings:
    check_option(args, "face", Bounds(0, 1000))
    check_option(args, "max_gap", Bounds(0, 1_000_000))
    return FaceSettings(args.face, args.max_gap, args.missing, args.smooth)


def _mask(path: str, image: Tensor) -> Tensor:
    mask = (load_image(path).mean(1, keepdim=True) + 1) / 2
    if mask.shape[-2:] != image.shape[-2:]:
        raise InputError(
            f"{path}: {mask.shape[-1]}x{mask.shape[-2]} pixels, the portrait has "
            f"{image.shape[-1]}x{image.shape[-2]}; give a mask of the same size"
        )
    return mask


class _View:
    """What the user sees of a job: two bars one after the other, and words between them."""

    def __init__(self, args: argparse.Namespace, stages: Stages, sampling: SamplingConfig) -> None:
        self._args = args
        self._stages = stages
        self._sampling = sampling
        self.maps: dict[int, np.ndarray] = {}

    def __enter__(self) -> None:
        self._bar = tqdm(desc="analyse", unit="frame", file=sys.stderr)
        self._observe = progress_observer(self._bar)
        self._stage = self._stages("analyse faces")
        self._stage.__enter__()

    def __exit__(self, *error: object) -> None:
        self._bar.close()
        self._stage.__exit__(None, None, None)

    def say(self, words: str) -> None:
        tqdm.write(words, file=sys.stderr)

    def looked(self, frames: int) -> None:
        self._bar.update(frames - self._bar.n)

    def planned(self, chunks: list[Chunk], finished: int, motion: DrivingMotion) -> None:
        self.__exit__()
        self._stage = self._stages("sample, decode and write")
        self._stage.__enter__()
        total = count_windows(chunks[finished:], self._sampling)
        self._bar = tqdm(total=total, desc="animate", unit="window", file=sys.stderr)
        self._observe = progress_observer(self._bar)
        if self._args.sheet:
            for frame in _shown(len(motion)):
                pictures = motion.take(range(frame, frame + 1)).frames.unflatten(1, (-1, 3)).amax(dim=1)
                self.maps[frame] = to_uint8(pictures * 2 - 1)[0]  # those of one frame over each other

    def observed(self, event: StepEvent) -> None:
        self._observe(event)


def _shown(frames: int) -> list[int]:
    """The frames of a contact sheet."""
    return sorted({round(number) for number in np.linspace(0, frames - 1, _COLUMNS)})


def _write_sheet(args: argparse.Namespace, job: VideoJob, maps: dict[int, np.ndarray]) -> None:
    rows = [("driving", _pictures(job.driving, job)), ("motion", list(maps.values()))]
    rows.append(("result", _pictures(job.output, job)))
    save_image(contact_sheet([row for row in rows if row[1]], reference=to_uint8(job.image)[0]), args.sheet)


def _pictures(path: Path, job: VideoJob) -> list[np.ndarray]:
    """The frames to show of a video that is as long as the output."""
    wanted = set(_shown(open_video(job.output).frames or 1))
    return [shot.pixels() for number, shot in enumerate(read_shots(path, limit=max(wanted) + 1)) if number in wanted]
