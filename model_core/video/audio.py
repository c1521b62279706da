"""The sound of one video, encoded into another as its frames arrive."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.container import InputContainer, OutputContainer

from ..errors import VideoError

_BIT_RATE = 96_000
"""Per channel."""
_LAYOUTS = MappingProxyType({1: "mono", 2: "stereo", 6: "5.1"})
"""What is kept as it is, by the number of channels; anything else is mixed down to stereo."""
_JITTER = 0.05
"""Seconds that a time stamp may be off before it counts as a gap: some containers round to milliseconds."""


@dataclass(frozen=True)
class Sound:
    """Sound in memory.

    Attributes:
        samples: (channels, n) float32 in [-1, 1]; of more than two channels the first two are written.
        rate: samples per second.
    """

    samples: np.ndarray
    rate: int


class AudioCopy:
    """Re-encodes a sound track to AAC, cut to the sample, a piece at a time.

    Encoding again rather than copying packets: it takes any codec, and packets cut to about 20 ms only.
    Gaps in the source become silence, so sound and picture stay together.
    """

    def __init__(self, output: OutputContainer, blocks: Iterator[np.ndarray], *, rate: int, layout: str) -> None:
        """
        Args:
            output: open, nothing written yet; a stream is added.
            blocks: (channels, n) float32 in [-1, 1] that follow each other, the first one at the first frame.
            rate: samples per second.
            layout: one of "mono", "stereo" and "5.1", as the blocks are.
        """
        self._output = output
        self._rate = rate
        self._layout = layout
        self._stream = output.add_stream("aac", rate=rate, layout=layout)
        self._stream.bit_rate = _BIT_RATE * self._stream.channels
        self._blocks = blocks
        self._pending = np.zeros((self._stream.channels, 0), np.float32)
        self._written = 0

    @classmethod
    def of_container(cls, source: InputContainer, output: OutputContainer, *, start: Fraction) -> AudioCopy:
        """The sound of an open container with an audio stream, from ``start`` seconds of it on."""
        rate, layout = _format(source)
        return cls(output, _continuous(source, start=start), rate=rate, layout=layout)

    @classmethod
    def of_sound(cls, sound: Sound, output: OutputContainer) -> AudioCopy:
        layout = "mono" if len(sound.samples) == 1 else "stereo"
        return cls(output, iter([sound.samples[:2]]), rate=sound.rate, layout=layout)

    def advance(self, until: Fraction) -> None:
        """Write the sound up to ``until`` seconds of the new video; nothing where the source is over."""
        wanted = round(until * self._rate) - self._written
        while self._pending.shape[1] < wanted:
            block = next(self._blocks, None)
            if block is None:
                break
            self._pending = np.concatenate([self._pending, block], axis=1)
        if wanted > 0 and self._pending.shape[1]:
            self._encode(self._pending[:, :wanted])
            self._pending = self._pending[:, wanted:]

    def finish(self) -> None:
        """Flush the encoder."""
        self._output.mux(self._stream.encode(None))

    def _encode(self, samples: np.ndarray) -> None:
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=self._layout)
        frame.sample_rate = self._rate
        frame.time_base = Fraction(1, self._rate)
        frame.pts = self._written
        self._output.mux(self._stream.encode(frame))
        self._written += samples.shape[1]


def read_sound(source: str | os.PathLike[str] | BinaryIO, *, seconds: Fraction) -> Sound | None:
    """The sound of a video from its first picture on, at most so long; None where it has none.

    Args:
        source: path of a video, or an open file of one.
    Raises:
        VideoError: the file or its sound cannot be read.
    """
    with open_container(source) as container:
        if not container.streams.audio:
            return None
        rate, _ = _format(container)
        wanted, blocks, length = round(seconds * rate), [], 0
        for block in _continuous(container, start=Fraction(0)):
            blocks.append(block)
            length += block.shape[1]
            if length >= wanted:
                break
    return Sound(np.concatenate(blocks, axis=1)[:, :wanted], rate) if blocks else None


def _format(source: InputContainer) -> tuple[int, str]:
    stream = source.streams.audio[0]
    return stream.rate, _LAYOUTS.get(stream.channels, "stereo")


def _continuous(source: InputContainer, *, start: Fraction) -> Iterator[np.ndarray]:
    """Blocks (channels, n) float32 that follow each other without a gap, the first one at ``start`` seconds."""
    rate, layout = _format(source)
    origin = _picture_start(source) + start
    resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
    done = 0
    for decoded in _decoded(source):
        for frame in resampler.resample(decoded):
            samples: np.ndarray = frame.to_ndarray()
            if frame.pts is not None and frame.time_base is not None:
                gap = round((frame.pts * frame.time_base - origin) * rate) - done
                if done == 0 or abs(gap) > _JITTER * rate:
                    samples = np.pad(samples, ((0, 0), (gap, 0))) if gap > 0 else samples[:, -gap:]
            if samples.shape[1]:
                done += samples.shape[1]
                yield samples


def _decoded(source: InputContainer) -> Iterator[AudioFrame]:
    try:
        yield from source.decode(source.streams.audio[0])
    except av.error.FFmpegError as error:
        raise VideoError(
            f"audio source {source.name}: its sound is damaged ({error.strerror}); leave the sound out"
        ) from error


def _picture_start(source: InputContainer) -> Fraction:
    """When the first picture is shown, seconds on the container's clock."""
    video = source.streams.video
    if not video or video[0].start_time is None or video[0].time_base is None:
        return Fraction(0)
    return video[0].start_time * video[0].time_base


def open_audio(path: Path) -> InputContainer | None:
    """The container with the sound to copy, or None where the source is silent (also images and folders)."""
    if not path.exists():
        raise VideoError(f"audio source {path}: no such file; check the path or leave the sound out")
    if path.is_dir():
        return None
    container = open_container(path)
    if not container.streams.audio:
        container.close()
        return None
    return container


def open_container(source: str | os.PathLike[str] | BinaryIO) -> InputContainer:
    """A video or sound file, by its path or open already.

    Raises:
        VideoError: it cannot be read.
    """
    try:
        # absolute: FFmpeg takes "a:b.mp4" for a protocol named a
        return av.open(os.path.abspath(source) if isinstance(source, (str, os.PathLike)) else source, "r")
    except (av.error.FFmpegError, OSError) as error:
        raise VideoError(f"audio source {source}: cannot be read ({error.strerror}); leave the sound out") from error
