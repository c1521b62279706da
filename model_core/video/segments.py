"""A long video in pieces that are finished one by one, and encoded as one in the end.

A piece is an MP4 of its own without loss, so writing one needs nothing of the others: after a crash the whole ones
are kept. Encoding all in one go, rather than each by itself, costs a second pass that is short against sampling, and
spares the eye a jolt at every piece: H.264 begins with a frame sharper than those around it. The same pieces give the
same bits.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.container import OutputContainer
from av.video.frame import PictureType

from ..errors import InputError, VideoError
from ..files import atomic_path
from .audio import AudioCopy, open_audio
from .h264 import CONTAINERS, add_h264, close_quietly, muxer_options, open_for_muxer, to_video_frame

_TICKS = 90_000
"""Per second, of a video whose frames do not follow a constant rate."""
_ROUNDING = Fraction(2, 1000)
"""Seconds by which containers that count milliseconds may be off."""


@dataclass(frozen=True)
class Clock:
    """When the frames of a video are shown.

    Attributes:
        starts: of every frame, seconds after the first one, ascending.
        fps: the nominal rate.
    """

    starts: tuple[Fraction, ...]
    fps: Fraction

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def constant(self) -> bool:
        """Whether the frames follow the rate, but for the rounding of containers."""
        return all(abs(start - number / self.fps) <= _ROUNDING for number, start in enumerate(self.starts))

    @property
    def seconds(self) -> Fraction:
        """From the first frame's begin to the last one's end."""
        return len(self) / self.fps if self.constant else self.starts[-1] + 1 / self.fps

    def ticks(self) -> tuple[list[int], Fraction]:
        """The time of every frame in whole ticks, strictly ascending, and a tick's seconds."""
        if self.constant:
            return list(range(len(self))), 1 / self.fps
        ticks = [round(start * _TICKS) for start in self.starts]
        for number in range(1, len(ticks)):
            ticks[number] = max(ticks[number], ticks[number - 1] + 1)
        return ticks, Fraction(1, _TICKS)


class SegmentWriter:
    """A context manager that writes one piece; it appears under its name only when the block ends well."""

    def __init__(self, path: Path, *, fps: Fraction) -> None:
        self._path, self._fps = path, fps
        self._frames = 0
        self._size: tuple[int, ...] | None = None

    def __enter__(self) -> SegmentWriter:
        with contextlib.ExitStack() as stack, named_errors(self._path):
            partial = stack.enter_context(atomic_path(self._path))
            self._file = stack.enter_context(open_for_muxer(partial))
            self._container: OutputContainer = av.open(self._file, "w", format="mp4")
            stack.callback(close_quietly, self._container)
            self._resources = stack.pop_all()
        return self

    def append(self, frame: np.ndarray) -> None:
        """Add a frame, (H, W, 3) uint8 RGB; the same size in every call.

        Raises:
            InputError: another size.
            VideoError: the file cannot be written (full disk); nothing is left of it.
        """
        if self._size is None:
            self._size = frame.shape
            self._stream = add_h264(self._container, (frame.shape[0], frame.shape[1]), fps=self._fps, crf=None)
        if frame.shape != self._size:
            raise InputError(f"video {self._path}: frames of {frame.shape} after {self._size}; resize them to one size")
        with named_errors(self._path):
            self._container.mux(self._stream.encode(to_video_frame(frame, self._frames, fps=self._fps)))
        self._frames += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._resources.__exit__(kind, error, trace)
            return
        with named_errors(self._path), self._resources:
            if self._size is None:
                raise VideoError(f"video {self._path}: no frames were written; append at least one")
            self._container.mux(self._stream.encode(None))
            self._container.close()


def join_segments(
    segments: Sequence[Path],
    output: Path,
    *,
    clock: Clock,
    crf: int = 18,
    audio_from: Path | None = None,
    metadata: Mapping[str, str] | None = None,
    progress: Callable[[int], object] | None = None,
) -> Path:
    """One video of all pieces, shown as the clock says, with sound.

    Args:
        segments: pieces of ``SegmentWriter``, in order, with as many frames in all as the clock has.
        output: .mp4, .m4v, .mov or .mkv; written in place, so name one that nobody takes for whole yet.
        crf: quality, as of ``VideoWriter``.
        audio_from: video whose sound to take, cut to the length of the new one.
        metadata: entries of the file.
        progress: told the number of frames done, after each; cancels by raising.
    Raises:
        VideoError: the file cannot be written, or the pieces have another number of frames.
    """
    kind = CONTAINERS[output.suffix.lower()]
    with contextlib.ExitStack() as stack, named_errors(output):
        file = stack.enter_context(open_for_muxer(output))
        container: OutputContainer = av.open(file, "w", format=kind, options=muxer_options(kind))
        stack.callback(close_quietly, container)
        container.metadata.update(metadata or {})
        source = None if audio_from is None else open_audio(audio_from)
        if source is not None:
            stack.callback(source.close)
        ticks, tick = clock.ticks()
        stream, audio, done = None, None, 0
        for frame in _decoded(segments):
            if stream is None:
                stream = add_h264(container, (frame.height, frame.width), fps=clock.fps, crf=crf, tick=tick)
                audio = None if source is None else AudioCopy.of_container(source, container, start=Fraction(0))
            if done >= len(ticks):
                raise VideoError(f"video {output}: its pieces have more than {len(ticks)} frames; make it anew")
            frame.pts, frame.time_base, frame.duration = ticks[done], tick, _lasts(ticks, done, tick, clock)
            frame.pict_type = PictureType.NONE  # else the encoder takes over where a piece has its key frames
            container.mux(stream.encode(frame))
            done += 1
            if audio is not None:
                audio.advance(clock.seconds if done == len(ticks) else ticks[done] * tick)
            if progress is not None:
                progress(done)
        if stream is None or done != len(ticks):
            raise VideoError(f"video {output}: its pieces have {done} of {len(ticks)} frames; make it anew")
        container.mux(stream.encode(None))
        if audio is not None:
            audio.finish()
        container.close()
    return output


def _decoded(segments: Sequence[Path]) -> Iterator[av.VideoFrame]:
    for segment in segments:
        with av.open(str(segment.absolute())) as container:
            yield from container.decode(video=0)


def _lasts(ticks: Sequence[int], number: int, tick: Fraction, clock: Clock) -> int:
    after = ticks[number + 1] if number + 1 < len(ticks) else round(clock.seconds / tick)
    return max(after - ticks[number], 1)


@contextlib.contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """What the system says against writing, as a VideoError that names the file."""
    try:
        yield
    except (OSError, av.error.FFmpegError) as error:
        raise VideoError(
            f"video {path}: cannot be written ({os.strerror(error.errno) if error.errno else error}); "
            "free some space or choose another folder"
        ) from error
