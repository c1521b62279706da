"""The chunks of a job: sampled, finished, written and kept one after another."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from ..errors import VideoError
from ..files import file_digest
from ..finish import Finisher
from ..models import PortraitModel
from ..pipeline import (
    DrivingMotion,
    FinishedChunk,
    Plan,
    PortraitReference,
    animate,
    clip_chunks,
    drive,
    finisher_of,
    full_size,
)
from ..types import HistoryFrames
from ..video.segments import SegmentWriter
from ..warp.full_size import LONGEST
from .faces import DrivingFace, ForwardFrames
from .folder import JobFolder
from .job import VideoJob, Watcher
from .paste import OntoDriving


@dataclass
class JobState:
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
    def load(cls, place: JobFolder, watcher: Watcher) -> JobState:
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


def make_chunks(
    place: JobFolder,
    job: VideoJob,
    model: PortraitModel,
    reference: PortraitReference,
    face: DrivingFace,
    watcher: Watcher,
) -> int:
    """Sample, decode, paste and encode what is not finished yet; returns the frames that were."""
    state = JobState.load(place, watcher)
    finisher = _finisher(job, reference, face, device=model.device)
    finisher.colours = state.colours
    motion = drive(
        model,
        reference,
        face.track,
        settings=job.motion,
        scenes=face.scenes,
        frames=_one_at_a_time(ForwardFrames(job.driving)),
    )
    if limited := int(motion.placed.limited().sum()):
        watcher.say(f"motion limited in {limited} of {len(motion)} frames: more than the portrait's face can follow")
    plan, done = clip_chunks(len(motion), job.sampling), len(state.digests)
    resumed = plan[done - 1].stop if done else 0
    if done:
        watcher.say(f"going on: {done} of {len(plan)} chunks are finished")
    events = animate(
        model,
        reference,
        motion,
        job.sampling,
        finisher=finisher,
        history=_history(model, state, motion, resumed),
        first_chunk=done,
    )
    for event in events:
        if isinstance(event, FinishedChunk):
            with _chunks_are_kept(place, len(state.digests), len(plan)):
                _keep(place, event, state, finisher, history=job.sampling.history, fps=face.clock.fps)
        elif isinstance(event, Plan):
            watcher.planned(event.chunks, event.finished, motion)
        else:
            watcher.observer(event)
    return resumed


def _history(model: PortraitModel, state: JobState, motion: DrivingMotion, resumed: int) -> HistoryFrames | None:
    """The last finished frames of an earlier run."""
    if not state.digests or state.history is None:
        return None
    signal = motion.take(range(resumed - len(state.history), resumed)).frames
    return HistoryFrames(*(part.to(model.device, model.dtype) for part in (state.history, signal)))


def _keep(
    place: JobFolder, made: FinishedChunk, state: JobState, finisher: Finisher, *, history: int, fps: Fraction
) -> None:
    """Write a finished chunk, and then that it is finished."""
    path = place.chunk(len(state.digests))
    with SegmentWriter(path, fps=fps) as writer:
        for frame in made.frames:
            writer.append(frame)
    # as many as carry_history carries, in the very type they were sampled in
    state.history = made.latents[0, -history:].cpu() if history else None
    state.colours = finisher.colours
    state.digests.append(file_digest(path))
    state.save(place)


@contextlib.contextmanager
def _chunks_are_kept(place: JobFolder, done: int, total: int) -> Iterator[None]:
    """An error in writing says what is not lost."""
    try:
        yield
    except VideoError as error:
        if done == 0:
            raise
        raise VideoError(
            f"{error}. {done} of {total} chunks are finished and kept in {place.path}; the same command goes on from "
            "there"
        ) from error


def _one_at_a_time(frames: ForwardFrames) -> Callable[[int, int], Iterator[np.ndarray]]:
    return lambda start, stop: (frame[None] for frame in frames.read(start, stop))


def _finisher(job: VideoJob, reference: PortraitReference, face: DrivingFace, *, device: torch.device) -> Finisher:
    if job.paste == "driving":
        whole = full_size(reference, _size_over(job, reference, face), device=device)
        return OntoDriving(ForwardFrames(job.driving), face, whole, match=job.match_colour)
    whole_portrait = job.paste == "reference" and job.size == "model"
    return finisher_of(reference, "portrait" if whole_portrait else job.size, device=device)


def _size_over(job: VideoJob, reference: PortraitReference, face: DrivingFace) -> int:
    """The long side at which the portrait's pixels are as large as the driving video's."""
    assert reference.window is not None and reference.layers is not None
    height, width = job.image.shape[-2:]
    model_pixels = face.scenes[0].place.scale[0]  # per driving pixel
    portrait_pixels = model_pixels * reference.window[2] / reference.layers.image.shape[1]
    return int(np.clip(round(max(height, width) / portrait_pixels), 64, LONGEST))
