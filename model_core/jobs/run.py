"""A whole job: from files to a video of any length, chunk by chunk, going on where a crash has left it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import av
import numpy as np
import torch
from torch import Tensor

from ..bounds import Bounds, check_settings
from ..config import SamplingConfig
from ..errors import VideoError
from ..faces.analyzer import FaceAnalyzer
from ..faces.foreground import estimate_foreground
from ..faces.framing import Framing
from ..families import check_sampling
from ..files import atomic_path, file_digest, refuse_overwriting
from ..images import to_uint8
from ..models import PortraitModel
from ..motion.scenes import MotionSettings, PlacedMotion
from ..paths import writable_file
from ..pipeline import DrivingMotion, PortraitReference, clip_chunks, decode, encode_reference, full_size, sample_chunks
from ..portraits import analyze_portrait
from ..sampling import Chunk
from ..types import FaceTrack, HistoryFrames, StepObserver
from ..video.h264 import CONTAINERS
from ..video.mark import MARK
from ..video.read import open_video
from ..video.segments import SegmentWriter, join_segments
from ..warp.full_size import LONGEST, OutputSize, output_size
from .faces import DrivingFace, FaceSettings, ForwardFrames, find_faces, follow_driving_face
from .folder import JobFolder
from .identity import Identity, changed, digest_of, model_digest, tensor_digest
from .paste import AtModelSize, AtPortraitSize, Finisher, OntoDriving, Pasting

_FORMAT = 3
"""Of the job's folder; raise it with every change of what is computed, and old folders start anew."""
_KEY = "vividportraits_job"
_DECODED_AT_ONCE = 8
_CRF = 18


@dataclass(frozen=True, kw_only=True)
class VideoJob:
    """What to make.

    Attributes:
        image: (1, 3, H, W) in [-1, 1], the portrait; ``name`` is what to call it.
        driving: the driving video.
        output: .mp4, .m4v, .mov or .mkv; an older file stays until the new one is whole.
        mask: (1, 1, H, W) in [0, 1], 1 on the person; None estimates it.
        sampling: how to sample.
        motion: how the driver's motion is placed on the portrait.
        framing: see ``faces.framing``.
        faces: how the driving face is followed.
        frames: driving frames to use; None all.
        size: of the video, see ``warp.full_size.output_size``.
        paste: "reference" is the whole portrait whatever ``size`` says of the model's; "driving" lays the face over
            the driving frames.
        match_colour: give pasted frames the colours of what they cover.
        sound: whether to take the driving video's.
        mark: whether the file says that it is synthetic.
        metadata: further entries of the file.
    """

    image: Tensor
    name: str = "reference"
    driving: Path
    output: Path
    mask: Tensor | None = None
    sampling: SamplingConfig
    motion: MotionSettings = field(default_factory=MotionSettings)
    framing: Framing = "auto"
    faces: FaceSettings = field(default_factory=FaceSettings)
    frames: Annotated[int, Bounds(1, 2**31)] | None = None
    size: OutputSize = "portrait"
    paste: Pasting = "none"
    match_colour: bool = True
    sound: bool = True
    mark: bool = True
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True)
class VideoResult:
    """What came of a job.

    Attributes:
        frames: of the video.
        resumed: frames that an earlier run had finished; all of them where the video was there already.
    """

    output: Path
    frames: int
    resumed: int


@dataclass(frozen=True)
class Watcher:
    """Who is told how a job goes on; every call may cancel by raising.

    Attributes:
        say: told in words what is being done.
        looked: told the number of driving frames whose faces are known, after each.
        observer: told of every window and step.
        joined: told the number of frames of the finished file, after each.
        planned: told once, before sampling: all chunks, how many are finished, and the motion.
    """

    say: Callable[[str], object] = lambda words: None
    looked: Callable[[int], object] = lambda frames: None
    observer: StepObserver | None = None
    joined: Callable[[int], object] = lambda frames: None
    planned: Callable[[list[Chunk], int, DrivingMotion], object] = lambda chunks, finished, motion: None


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
            resumed = _make_chunks(place, job, model, reference, face, watcher)
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


@dataclass
class _State:
    """What is finished, and what the next chunk needs of it.

    Attributes:
        digests: of every finished chunk's file.
        history: (n, C, h, w), the last clean latents, or None.
        colours: what the running colour correction has learnt, or None.
    """

    digests: list[str] = field(default_factory=list)
    history: Tensor | None = None
    colours: np.ndarray | None = None

    @classmethod
    def load(cls, place: JobFolder, watcher: Watcher) -> _State:
        """The state as it was saved; an empty one where a finished chunk is damaged."""
        stored = place.load(place.state)
        if stored is None:
            return cls()
        tensors, notes = stored
        state = cls(json.loads(notes["chunks"]), tensors.get("history"))
        state.colours = tensors["colours"].numpy() if "colours" in tensors else None
        for number, digest in enumerate(state.digests):
            if not place.chunk(number).is_file() or file_digest(place.chunk(number)) != digest:
                watcher.say(f"starting anew: {place.chunk(number)} is damaged")
                place.forget_chunks()
                return cls()
        return state

    def save(self, place: JobFolder) -> None:
        tensors = {} if self.history is None else {"history": self.history}
        if self.colours is not None:
            tensors["colours"] = torch.from_numpy(self.colours)
        place.save(place.state, tensors, {"chunks": json.dumps(self.digests)})


def _make_chunks(
    place: JobFolder,
    job: VideoJob,
    model: PortraitModel,
    reference: PortraitReference,
    face: DrivingFace,
    watcher: Watcher,
) -> int:
    """Sample, decode, paste and encode what is not finished yet; returns the frames that were."""
    plan = clip_chunks(len(face.track), job.sampling)
    state = _State.load(place, watcher)
    done = len(state.digests)
    resumed = plan[done - 1].stop if done else 0
    if done:
        watcher.say(f"going on: {done} of {len(plan)} chunks are finished")
    assert reference.track is not None
    placed = PlacedMotion(face.track, face.scenes, reference.track, job.motion)
    if limited := int(placed.limited().sum()):
        watcher.say(f"motion limited in {limited} of {len(placed)} frames: more than the portrait's face can follow")
    motion = DrivingMotion(model.config, placed, _few_at_once(ForwardFrames(job.driving)))
    watcher.planned(plan, done, motion)
    history = None
    if done and state.history is not None:
        signal = motion.take(range(resumed - len(state.history), resumed)).frames
        history = HistoryFrames(*(part.to(model.device, model.dtype) for part in (state.history, signal)))
    finisher = _finisher(job, reference, face)
    finisher.colours = state.colours
    chunks = sample_chunks(
        model, reference, motion, job.sampling, history=history, first_chunk=done, observer=watcher.observer
    )
    for number, latents in enumerate(chunks, start=done):
        try:
            frames = _frames(model, job, latents, placed, finisher, plan[number])
            with SegmentWriter(place.chunk(number), fps=face.clock.fps) as writer:
                for frame in frames:
                    writer.append(frame)
            # as many as carry_history carries, in the very type they were sampled in
            state.history = latents[0, -job.sampling.history :].cpu() if job.sampling.history else None
            state.colours = finisher.colours
            state.digests.append(file_digest(place.chunk(number)))
            state.save(place)
        except VideoError as error:
            if number == 0:
                raise
            raise VideoError(
                f"{error}. {number} of {len(plan)} chunks are finished and kept in {place.path}; the same command "
                "goes on from there"
            ) from error
    return resumed


def _few_at_once(frames: ForwardFrames) -> Callable[[int, int], Iterator[np.ndarray]]:
    return lambda start, stop: (frame[None] for frame in frames.read(start, stop))


def _finisher(job: VideoJob, reference: PortraitReference, face: DrivingFace) -> Finisher:
    assert reference.layers is not None
    if job.paste == "driving":
        whole = full_size(reference, _size_over(job, reference, face))
        return OntoDriving(ForwardFrames(job.driving), face, whole, match=job.match_colour)
    if job.size == "model" and job.paste == "none":
        return AtModelSize(reference.layers)
    return AtPortraitSize(full_size(reference, "portrait" if job.size == "model" else job.size))


def _size_over(job: VideoJob, reference: PortraitReference, face: DrivingFace) -> int:
    """The long side at which the portrait's pixels are as large as the driving video's."""
    assert reference.window is not None and reference.layers is not None
    height, width = job.image.shape[-2:]
    model_pixels = face.scenes[0].place.scale[0]  # per driving pixel
    portrait_pixels = model_pixels * reference.window[2] / reference.layers.image.shape[1]
    return int(np.clip(round(max(height, width) / portrait_pixels), 64, LONGEST))


def _frames(
    model: PortraitModel,
    job: VideoJob,
    latents: Tensor,
    placed: PlacedMotion,
    finisher: Finisher,
    chunk: Chunk,
) -> Iterator[np.ndarray]:
    """The finished frames of a chunk."""
    for first in range(0, len(chunk), _DECODED_AT_ONCE):
        part = range(chunk.start + first, min(chunk.start + first + _DECODED_AT_ONCE, chunk.stop))
        generated = None
        if job.sampling.steps:
            generated = to_uint8(decode(model, latents[:, first : first + len(part)]))
        yield from finisher.finish(part.start, placed.landmarks(part.start, part.stop), generated)


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
