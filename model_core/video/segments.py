"""A long video in pieces that are finished one by one, and joined in the end without encoding again.

A piece is an MP4 of its own that begins with a key frame, so writing one needs nothing of the others: after a crash
the whole ones are kept, and the joined video is the same, bit for bit, as without the crash. The pieces together
take the room of the video.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
from av.container import OutputContainer

from ..errors import InputError, VideoError
from ..files import atomic_path
from .audio import AudioCopy, open_audio
from .h264 import CONTAINERS, add_h264, close_quietly, muxer_options, open_for_muxer, to_video_frame

_TICKS = 90_000
"""Per second, of a video whose frames do not follow a constant rate."""
_ROUNDING = Fraction(2, 1000)
"""Seconds by which containers that count milliseconds may be off."""
_REORDERED = 2
"""Frames by which x264 decodes ahead of what it shows, with the preset of h264.py."""


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
    """A context manager that encodes one piece; it appears under its name only when the block ends well."""

    def __init__(self, path: Path, *, fps: Fraction, crf: int = 18) -> None:
        self._path, self._fps, self._crf = path, fps, crf
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
            self._stream = add_h264(self._container, (frame.shape[0], frame.shape[1]), fps=self._fps, crf=self._crf)
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
    audio_from: Path | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """One video of all pieces, shown as the clock says, with sound.

    Args:
        segments: pieces of ``SegmentWriter``, in order, with as many frames in all as the clock has.
        output: .mp4, .m4v, .mov or .mkv; written in place, so name one that nobody takes for whole yet.
        audio_from: video whose sound to take, cut to the length of the new one.
        metadata: entries of the file.
    Raises:
        VideoError: the file cannot be written, or the pieces have another number of frames.
    """
    kind = CONTAINERS[output.suffix.lower()]
    with contextlib.ExitStack() as stack, named_errors(output):
        container = av.open(stack.enter_context(open_for_muxer(output)), "w", format=kind, options=muxer_options(kind))
        stack.callback(close_quietly, container)
        container.metadata.update(metadata or {})
        source = None if audio_from is None else open_audio(audio_from)
        if source is not None:
            stack.callback(source.close)
        audio = None
        ticks, tick = clock.ticks()
        stream, done = None, 0
        for packet, shown in _packets(segments, clock.fps):
            if stream is None:
                stream = container.add_stream_from_template(packet.stream)
                stream.time_base = tick
                audio = None if source is None else AudioCopy.of_container(source, container, start=Fraction(0))
            if shown >= len(ticks):
                raise VideoError(f"video {output}: its pieces have more than {len(ticks)} frames; make it anew")
            packet.stream, packet.time_base = stream, tick
            packet.pts, packet.dts = ticks[shown], _decoded_at(ticks, done)
            packet.duration = _lasts(ticks, shown, tick, clock)
            container.mux(packet)
            done += 1
            if audio is not None:
                audio.advance(clock.seconds if done == len(ticks) else ticks[done] * tick)
        if done != len(ticks):
            raise VideoError(f"video {output}: its pieces have {done} of {len(ticks)} frames; make it anew")
        if audio is not None:
            audio.finish()
        container.close()
    return output


def _packets(segments: Sequence[Path], fps: Fraction) -> Iterator[tuple[Any, int]]:
    """Every packet, as it is to be decoded, and the number of the frame in it."""
    start = 0
    for segment in segments:
        count = 0
        with av.open(str(segment.absolute())) as container:
            for packet in container.demux(container.streams.video[0]):
                if packet.size and packet.pts is not None:
                    count += 1
                    yield packet, start + round(packet.pts * packet.time_base * fps)
        start += count


def _decoded_at(ticks: Sequence[int], number: int) -> int:
    """When to decode a packet: early enough for the frames that are shown before it."""
    if number >= _REORDERED:
        return ticks[number - _REORDERED]
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1
    return ticks[0] - (_REORDERED - number) * step


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
