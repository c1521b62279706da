"""Videos out: H.264 in MP4, a chunk at a time; whole or not there at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.container import OutputContainer

from ..errors import InputError, VideoError
from ..files import atomic_path
from .audio import AudioCopy, Sound, open_audio
from .h264 import CONTAINERS, add_h264, close_quietly, muxer_options, open_for_muxer, to_video_frame


class VideoWriter:
    """A context manager that appends frames to a new video.

    ``with VideoWriter(path, fps=Fraction(25)) as writer: writer.append(frames)``

    H.264, yuv420p, BT.709, so that every player shows it, in the same colours. That format needs even sizes:
    an odd height or width gets its last row or column once more, so the video is one pixel larger.
    The file appears under its name only when the block ends well; on any exception, a full disk included, the
    partial file beside it is removed and an older file of that name stays as it was.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        fps: Fraction | int,
        crf: int = 18,
        audio_from: str | os.PathLike[str] | None = None,
        audio_start: Fraction | int = 0,
        sound: Sound | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """
        Args:
            path: of the video: .mp4, .m4v, .mov or .mkv. Missing folders are made.
            fps: frames per second, > 0.
            crf: quality, 0 (lossless but for the colour subsampling) to 51; 18 looks like the original.
            audio_from: video whose sound to take, cut to the length of the new one, as AAC. One without
                sound gives a silent video.
            audio_start: seconds of that sound that fall on the first frame, >= 0.
            sound: the sound itself, in place of ``audio_from``; cut to the length of the new video too.
            metadata: entries of the file, such as ``mark.MARK``.
        Raises:
            InputError: a setting is out of range.
            VideoError: from the ``with`` on: ``path`` cannot be written or the sound cannot be read.
        """
        self._path = Path(path)
        if self._path.suffix.lower() not in CONTAINERS:
            known = ", ".join(CONTAINERS)
            raise InputError(f"video {path}: unknown type {self._path.suffix!r}; use {known}")
        if fps <= 0 or not 0 <= crf <= 51 or audio_start < 0:
            raise InputError(
                f"video {path}: fps {fps}, crf {crf}, audio_start {audio_start}: fps must be positive, "
                "crf 0 to 51, audio_start not negative"
            )
        self._fps = Fraction(fps)
        self._crf = crf
        self._audio_from = None if audio_from is None else Path(audio_from)
        self._audio_start = Fraction(audio_start)
        self._sound = sound
        self._metadata = dict(metadata or {})
        self._frames = 0
        self._size: tuple[int, int] | None = None
        self._audio: AudioCopy | None = None

    @property
    def frames(self) -> int:
        """How many frames have been appended."""
        return self._frames

    @property
    def duration(self) -> Fraction:
        """Seconds appended so far."""
        return self._frames / self._fps

    def __enter__(self) -> VideoWriter:
        with contextlib.ExitStack() as stack, self._named_errors():
            partial = stack.enter_context(atomic_path(self._path))
            self._file = open_for_muxer(partial)
            stack.callback(close_quietly, self._file)
            kind = CONTAINERS[self._path.suffix.lower()]
            self._container: OutputContainer = av.open(self._file, "w", format=kind, options=muxer_options(kind))
            self._container.metadata.update(self._metadata)
            # an abandoned container still writes its trailer, which may fail again: not the error to report
            stack.callback(close_quietly, self._container)
            self._source = None if self._audio_from is None else open_audio(self._audio_from)
            if self._source is not None:
                stack.callback(self._source.close)
            self._resources = stack.pop_all()
        return self

    def append(self, frames: np.ndarray) -> None:
        """Add frames.

        Args:
            frames: (n, H, W, 3) uint8 RGB, n >= 0; the same size in every call.
        Raises:
            InputError: wrong shape, dtype or size.
            VideoError: the file cannot be written (full disk); nothing is left of it.
        """
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or 0 in frames.shape[1:3]:
            got = f"{frames.shape} {frames.dtype}"
            raise InputError(f"video {self._path}: expected frames (n, H, W, 3) uint8, got {got}; convert them")
        if self._size is not None and frames.shape[1:3] != self._size:
            sizes = f"{frames.shape[1:3]} after {self._size}"
            raise InputError(f"video {self._path}: frames of {sizes} (height, width); resize them to one size")
        with self._named_errors():
            if self._size is None:
                self._begin((frames.shape[1], frames.shape[2]))
            for pixels in frames:
                frame = to_video_frame(pixels, self._frames, fps=self._fps)
                self._container.mux(self._stream.encode(frame))
                self._frames += 1
            if self._audio is not None:
                self._audio.advance(self.duration)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._resources.__exit__(kind, error, trace)
            return
        with self._named_errors(), self._resources:
            self._finish()

    def _begin(self, size: tuple[int, int]) -> None:
        self._size = size
        self._stream = add_h264(self._container, size, fps=self._fps, crf=self._crf)
        if self._source is not None:
            self._audio = AudioCopy.of_container(self._source, self._container, start=self._audio_start)
        elif self._sound is not None:
            self._audio = AudioCopy.of_sound(self._sound, self._container)

    def _finish(self) -> None:
        if self._size is None:
            raise VideoError(f"video {self._path}: no frames were written; append at least one")
        self._container.mux(self._stream.encode(None))
        if self._audio is not None:
            self._audio.finish()
        self._container.close()
        self._file.close()

    @contextlib.contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, av.error.FFmpegError) as error:
            raise VideoError(
                f"video {self._path}: cannot be written ({error.strerror or error}), the partial file is "
                "removed; free some space or choose another folder"
            ) from error
