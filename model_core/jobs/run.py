"""A whole job: from files to a video of any length, chunk by chunk, going on where a crash has left it."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict
from pathlib import Path

import av
import torch

from ..errors import VideoError
from ..faces.analyzer import FaceAnalyzer
from ..faces.foreground import estimate_foreground
from ..families import check_sampling
from ..files import atomic_path, file_digest, refuse_overwriting
from ..images import to_uint8
from ..models import PortraitModel
from ..paths import writable_file
from ..pipeline import PortraitReference, clip_chunks, encode_reference
from ..portraits import analyze_portrait
from ..types import FaceTrack
from ..video.h264 import CONTAINERS
from ..video.mark import MARK
from ..video.read import open_video
from ..video.segments import join_segments
from ..warp.full_size import output_size
from .chunks import make_chunks
from .faces import DrivingFace, find_faces, follow_driving_face
from .folder import JobFolder
from .identity import Identity, changed, digest_of, model_digest, tensor_digest
from .job import VideoJob, VideoResult, Watcher

_FORMAT = 3
"""Of the job's folder; raise it with every change of what is computed, and old folders start anew."""
_KEY = "vividportraits_job"
_CRF = 18


def animate_video(
    job: VideoJob,
    *,
    model: PortraitModel,
    analyzer: FaceAnalyzer,
    folder: Path | None = None,
    watcher: Watcher | None = None,
) -> VideoResult:
    """Do a job, or what is left of it.

    Memory is bounded by one chunk of latents and a few full frames, disk space by the frames without loss.
    Whatever ends the process, the next call with the same job goes on after the last finished chunk, and gives the
    same video, frame for frame, as one that was never disturbed. A finished job leaves the video alone.

    Args:
        folder: for the job's files; None is beside the output, ``<output>.job``.
    Raises:
        InputError: another process is at work on it; a setting or the portrait cannot be used; the output or the
            folder would overwrite the driving video.
        FaceNotFoundError: the driving face cannot be followed; see ``faces.tracking.track_face``.
        VideoError: the driving video cannot be read, or something cannot be written; finished chunks are kept.
    """
    watcher = watcher or Watcher()
    check_sampling(model.config, job.sampling)
    open_video(job.driving)  # what cannot be read fails before anything is made
    _check_output(job.output)
    folder = folder or job_folder(job.output)
    refuse_overwriting([("video", job.output), ("job folder", folder)], [("the driving video", job.driving)])
    output_size((job.image.shape[-2], job.image.shape[-1]), "portrait" if job.size == "model" else job.size)
    faces = _faces_identity(job, analyzer)
    identity = _identity(job, model, faces)
    if _finished(job.output, identity):
        watcher.say(f"{job.output} is finished already; remove it to make it again")
        if JobFolder.is_jobs(folder):  # killed between the last two steps
            with JobFolder.opened(folder) as place:
                place.remove()
        frames = open_video(job.output).frames or 0
        return VideoResult(job.output, frames, frames)
    with JobFolder.opened(folder) as place:
        joined = False
        try:
            _take_up(place, identity, watcher)
            portrait = analyze_portrait(to_uint8(job.image)[0], analyzer, name=job.name)
            find_faces(place, job.driving, analyzer, limit=job.frames, progress=watcher.looked)
            reference = _encode(job, model, portrait)
            assert reference.track is not None
            face = follow_driving_face(place, job.driving, job.faces, reference=reference.track, motion=job.motion)
            resumed = make_chunks(place, job, model, reference, face, watcher)
            _join(place, job, face, identity, watcher)
            joined = True
        finally:
            if joined or not place.worth_keeping:
                place.remove()
    return VideoResult(job.output, len(face.track), resumed)


def job_folder(output: Path, chosen: str | Path | None = None) -> Path:
    """Where a job's files lie until it is finished: beside the output, where no other place is chosen."""
    return Path(chosen) if chosen else output.with_name(output.name + ".job")


def job_digest(job: VideoJob, *, model: PortraitModel, analyzer: FaceAnalyzer) -> str:
    """What tells a job from every other one: to name its output by."""
    return digest_of(_identity(job, model, _faces_identity(job, analyzer)))


def _check_output(output: Path) -> None:
    """Whatever would stop the last step stops the first."""
    writable_file(output, name="video", suffixes=tuple(CONTAINERS))


def _faces_identity(job: VideoJob, analyzer: FaceAnalyzer) -> Identity:
    """What the found faces depend on: a new seed or a longer gap does not look for them again."""
    return {
        "format": _FORMAT,
        "driving": file_digest(job.driving),
        "frames": job.frames,
        "analyzer": getattr(analyzer, "kind", type(analyzer).__name__),
    }


def _identity(job: VideoJob, model: PortraitModel, faces: Identity) -> Identity:
    settings = {
        "sampling": asdict(job.sampling),
        "faces": asdict(job.faces),
        "output": {"size": job.size, "paste": job.paste, "match_colour": job.match_colour},
        "motion": asdict(job.motion),
        "portrait": {"framing": job.framing},
    }
    return {
        **faces,
        "reference": tensor_digest(job.image),
        "mask": None if job.mask is None else tensor_digest(job.mask),
        "model": model_digest(model),
        "arithmetic": f"{model.device.type} {model.dtype} torch {torch.__version__}",
        "sound": job.sound,
        **{f"{group}.{name}": value for group, values in settings.items() for name, value in values.items()},
    }


def _finished(output: Path, identity: Identity) -> bool:
    """Whether the output is this very job's."""
    try:
        with av.open(str(output.absolute())) as container:
            known = {key.lower(): value for key, value in container.metadata.items()}
    except (OSError, av.error.FFmpegError):
        return False
    return known.get(_KEY) == digest_of(identity)


def _take_up(place: JobFolder, identity: Identity, watcher: Watcher) -> None:
    """Keep what an earlier run has finished of this job; of another job, only what is the same in both."""
    before = place.identity()
    different = changed(before, identity)
    if before and different:
        kept = {"format", "driving", "frames", "analyzer"}.isdisjoint(different)
        words = ", ".join(different[:8]) + (", ..." if len(different) > 8 else "")
        watcher.say(f"starting anew: changed since the last run: {words}" + ("; found faces are kept" if kept else ""))
        place.forget_chunks()
        if not kept:
            place.forget_faces()
    if different:
        place.remember(identity)


def _encode(job: VideoJob, model: PortraitModel, portrait: FaceTrack) -> PortraitReference:
    foreground = estimate_foreground(job.image, portrait) if job.mask is None else job.mask
    return encode_reference(model, job.image, track=portrait, foreground=foreground, framing=job.framing)


def _join(place: JobFolder, job: VideoJob, face: DrivingFace, identity: Identity, watcher: Watcher) -> None:
    """The finished chunks as one file under its name; short against sampling, so a crash here repeats all of it."""
    count = len(clip_chunks(len(face.track), job.sampling))
    joined = place.path / f"joined{job.output.suffix}"
    entries = {**job.metadata, **(MARK if job.mark else {}), _KEY: digest_of(identity)}
    join_segments(
        [place.chunk(number) for number in range(count)],
        joined,
        clock=face.clock,
        crf=_CRF,
        progress=watcher.joined,
        audio_from=job.driving if job.sound else None,
        metadata=entries,
    )
    try:
        os.replace(joined, job.output)
    except OSError:  # the job's folder lies on another disk
        try:
            with atomic_path(job.output) as partial:
                shutil.copyfile(joined, partial)
        except OSError as error:
            raise VideoError(
                f"video {job.output}: cannot be written ({error.strerror}); it is finished but for this, as {joined}"
            ) from error
