"""The sound of one video, encoded into another as its frames arrive."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.container import InputContainer, OutputContainer

from ..errors import VideoError

_BIT_RATE = 192_000
_JITTER = 0.05
"""Seconds that a time stamp may be off before it counts as a gap: some containers round to milliseconds."""


class AudioCopy:
    """Re-encodes a sound track to AAC, cut to the sample, a piece at a time.

    Encoding again rather than copying packets: it takes any codec, and packets cut to about 20 ms only.
    Gaps in the source become silence, so sound and picture stay together.
    """

    def __init__(self, source: InputContainer, output: OutputContainer, *, start: Fraction) -> None:
        """
        Args:
            source: open, with an audio stream.
            output: open, nothing written yet; a stream is added.
            start: seconds of the source that fall on the first frame.
        """
        self._output = output
        stream = source.streams.audio[0]
        self._rate = stream.rate
        self._layout = "mono" if stream.channels == 1 else "stereo"
        self._stream = output.add_stream("aac", rate=self._rate, bit_rate=_BIT_RATE, layout=self._layout)
        self._blocks = self._continuous(source, origin=_picture_start(source) + start)
        self._pending = np.zeros((self._stream.channels, 0), np.float32)
        self._written = 0

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

    def _continuous(self, source: InputContainer, *, origin: Fraction) -> Iterator[np.ndarray]:
        """Blocks (channels, n) float32 that follow each other without a gap, the first one at ``origin``."""
        resampler = av.AudioResampler(format="fltp", layout=self._layout, rate=self._rate)
        done = 0
        for decoded in _decoded(source):
            for frame in resampler.resample(decoded):
                samples: np.ndarray = frame.to_ndarray()
                if frame.pts is not None and frame.time_base is not None:
                    gap = round((frame.pts * frame.time_base - origin) * self._rate) - done
                    if done == 0 or abs(gap) > _JITTER * self._rate:
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
    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, OSError) as error:
        raise VideoError(f"audio source {path}: cannot be read ({error.strerror}); leave the sound out") from error
    if not container.streams.audio:
        container.close()
        return None
    return container
