"""Videos in, a chunk at a time: any file that FFmpeg knows, a folder of images, an animation, one image.

Frames are (n, H, W, 3) uint8 RGB, upright (rotation metadata applied). Memory is bounded by the chunk,
whatever the length of the video. Pixels are taken as square.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from PIL import Image, ImageSequence, UnidentifiedImageError

from ..errors import InputError, VideoError
from ..images import IMAGE_SUFFIXES, read_pixels, rgb_pixels
from ..paths import exists, readable_file, readable_folder
from .hdr import HDR_TRANSFERS, tone_mapped

DEFAULT_FPS = Fraction(25)
"""For pictures without a clock: a folder of images, a single image, an animation without durations."""

_NTSC_BASES = (24, 30, 48, 60, 120)
_NTSC_TOLERANCE = 0.004

_REENCODE = "re-encode it, for example: ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4"


@dataclass(frozen=True)
class VideoInfo:
    """What is known of a video before it is read.

    Attributes:
        frames: their number as the file declares it, an estimate; None where it declares nothing.
        fps: frames per second.
        size: (H, W) in pixels, upright.
        has_audio: whether there is a sound track.
    """

    frames: int | None
    fps: Fraction
    size: tuple[int, int]
    has_audio: bool


@dataclass(frozen=True)
class Shot:
    """One frame of a source.

    Attributes:
        start: when it begins, seconds after the first one.
        duration: how long it lasts, seconds; of a video file, the mean of its frames.
        pixels: makes (H, W, 3) uint8 RGB; a frame that nobody asks for costs its decoding only.
    """

    start: Fraction
    duration: Fraction
    pixels: Callable[[], np.ndarray]


def open_video(path: str | os.PathLike[str]) -> VideoInfo:
    """Look at a video without reading it; decodes one frame, so that an unreadable one fails here.

    Args:
        path: a video file, a folder of images (natural order of names), an animated GIF or WebP, an image.
    Raises:
        VideoError: missing, not a video, or without frames; names the file and the remedy.
    """
    path = _existing(path)
    if _is_pictures(path):
        first = next(_first_shots(path)).pixels()
        count, fps = _picture_clock(path)
        return VideoInfo(frames=count, fps=fps, size=(first.shape[0], first.shape[1]), has_audio=False)
    height, width, _ = next(_first_shots(path)).pixels().shape
    with _open_container(path) as container:
        stream = container.streams.video[0]
        fps = stream_rate(stream)
        frames = stream.frames or None
        if frames is None and container.duration:
            frames = max(1, round(Fraction(container.duration, av.time_base) * fps))
        audio = bool(container.streams.audio)
    return VideoInfo(frames=frames, fps=fps, size=(height, width), has_audio=audio)


def read_shots(path: str | os.PathLike[str], *, start: int = 0, limit: int | None = None) -> Iterator[Shot]:
    """The frames one by one, each with the time at which it is shown; one is held at a time.

    Args:
        path: as for ``open_video``.
        start: frames to skip, >= 0; more than there are leaves an empty stream.
        limit: frames to read at most; None reads all.
    Raises:
        VideoError: as ``read_chunks``.
    """
    return itertools.islice(_first_shots(_existing(path)), start, None if limit is None else start + limit)


def read_chunks(
    path: str | os.PathLike[str],
    *,
    chunk: int,
    start: int = 0,
    limit: int | None = None,
    fps: Fraction | int | None = None,
) -> Iterator[np.ndarray]:
    """Read a video as a stream of chunks.

    Args:
        path: as for ``open_video``.
        chunk: frames in each array (the last one may be shorter), >= 1.
        start: frames to skip, >= 0, counted after resampling; exactly all of them leaves an empty stream.
        limit: frames to read at most, >= 1; None reads all.
        fps: resample to this rate, round(duration * fps) frames: k is what the source shows at k / fps
            seconds, give or take half a frame. None takes every frame as it comes, whatever its time.
    Returns:
        an iterator of (n, H, W, 3) uint8 RGB, 1 <= n <= chunk.
    Raises:
        InputError: a setting is out of range.
        VideoError: missing, not a video, without frames, damaged; names the file and the remedy. A missing
            file raises at the call, the rest when the frames are reached.
    """
    if chunk < 1 or start < 0 or (limit is not None and limit < 1) or (fps is not None and fps <= 0):
        raise InputError(
            f"read_chunks: chunk {chunk}, start {start}, limit {limit}, fps {fps}: "
            "chunk, limit and fps must be positive, start not negative"
        )
    return _chunks(_existing(path), chunk=chunk, start=start, limit=limit, fps=fps)


def read_video(
    path: str | os.PathLike[str],
    *,
    start: int = 0,
    limit: int | None = None,
    fps: Fraction | int | None = None,
) -> np.ndarray:
    """All frames of a short clip, (F, H, W, 3) uint8 RGB; settings and errors as in ``read_chunks``."""
    chunks = list(read_chunks(path, chunk=64, start=start, limit=limit, fps=fps))
    if not chunks:
        raise VideoError(f"video {path}: nothing left after skipping {start} frames; start earlier")
    return np.concatenate(chunks)


def _chunks(
    path: Path, *, chunk: int, start: int, limit: int | None, fps: Fraction | int | None
) -> Iterator[np.ndarray]:
    shots: Iterator[Shot] = _first_shots(path)
    if fps is not None:
        shots = _resample(shots, Fraction(fps))
    skipped = sum(1 for _ in itertools.islice(shots, start))
    if skipped < start:
        raise VideoError(f"video {path}: has {skipped} frames, cannot start at frame {start}; start earlier")
    frames = (shot.pixels() for shot in itertools.islice(shots, limit))
    size: tuple[int, ...] | None = None
    while block := list(itertools.islice(frames, chunk)):
        size = size or block[0].shape
        for frame in block:
            if frame.shape != size:
                raise VideoError(
                    f"video {path}: frames of different sizes, {size[1]} x {size[0]} and {frame.shape[1]} x "
                    f"{frame.shape[0]} (width x height); bring them to one size"
                )
        yield np.stack(block)


def _resample(shots: Iterator[Shot], fps: Fraction) -> Iterator[Shot]:
    """Every shot begins at the tick of the new clock nearest to its own start, or is left out.

    Nearest rather than next: containers round times to their clock, so that at an unchanged rate a frame may
    begin a hair after its tick, and the one before it would be shown twice.
    """
    index = 0
    shot = next(shots)
    for following in shots:
        switch = following.start - min(following.start - shot.start, 1 / fps) / 2
        while index / fps < switch:
            yield shot
            index += 1
        shot = following
    total = max(1, round((shot.start + shot.duration) * fps))
    yield from itertools.repeat(shot, total - index)


def _first_shots(path: Path) -> Iterator[Shot]:
    """The shots of any source, of which there is at least one."""
    shots = _picture_shots(path) if _is_pictures(path) else _decoded_shots(path)
    first = next(shots, None)
    if first is None:
        raise VideoError(f"video {path}: has no frames; {_REENCODE}")
    yield first
    yield from shots


# --- video files -------------------------------------------------------------------------------------------


def _decoded_shots(path: Path) -> Iterator[Shot]:
    with _open_container(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        period = 1 / stream_rate(stream)
        origin: Fraction | None = None
        previous = -period
        count = 0
        try:
            for frame in container.decode(stream):
                if frame.pts is None or frame.time_base is None:
                    start = previous + period
                else:
                    moment = frame.pts * frame.time_base
                    origin = moment if origin is None else origin
                    start = moment - origin
                yield Shot(start=start, duration=period, pixels=_pixels_of(frame))
                previous = start
                count += 1
        except av.error.FFmpegError as error:
            raise VideoError(f"video {path}: damaged after frame {count} ({error.strerror}); {_REENCODE}") from error


def _pixels_of(frame: av.VideoFrame) -> Callable[[], np.ndarray]:
    """Conversion to RGB is left until asked for: skipped frames cost their decoding only."""

    def pixels() -> np.ndarray:
        array = frame.to_ndarray(format="rgb24") if frame.color_trc not in HDR_TRANSFERS else tone_mapped(frame)
        # the display matrix says by how many degrees, counterclockwise, to turn the picture
        return np.ascontiguousarray(np.rot90(array, k=round(frame.rotation / 90) % 4))

    return pixels


def _open_container(path: Path) -> InputContainer:
    if path.stat().st_size == 0:
        raise VideoError(f"video {path}: the file is empty; copy or export it again")
    try:
        # absolute: FFmpeg takes "a:b.mp4" for a protocol named a
        container = av.open(str(path.absolute()))
    except (av.error.FFmpegError, OSError) as error:
        raise VideoError(f"video {path}: not a video that can be read ({error.strerror}); {_REENCODE}") from error
    missing = _missing_bytes(path) if "mp4" in container.format.name else 0
    if missing:
        container.close()
        raise VideoError(f"video {path}: its last {missing} bytes are missing; copy it again, or {_REENCODE}")
    if not container.streams.video:
        container.close()
        raise VideoError(f"video {path}: has no picture track, perhaps it is sound only; choose another file")
    return container


def _missing_bytes(path: Path) -> int:
    """How far an MP4's or MOV's boxes reach beyond the file: cut off, FFmpeg reads it as a shorter video."""
    end, size = 0, path.stat().st_size
    with path.open("rb") as file:
        while end < size:
            file.seek(end)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            if length < 8 or not head[4:8].isascii():
                return 0  # a box that lasts to the end, or none at all: not ours to judge
            end += length
    return end - size


def exact_rate(fps: float) -> Fraction:
    """The frame rate that a rounded number means: 29.97 is 30000/1001, 25 is 25.

    Args:
        fps: > 0.
    """
    for base in _NTSC_BASES:
        exact = Fraction(base * 1000, 1001)
        if abs(fps - exact) < _NTSC_TOLERANCE:
            return exact
    return Fraction(fps).limit_denominator(1001)


def stream_rate(stream: av.VideoStream) -> Fraction:
    """Frames per second of a video stream, as exactly as its file says."""
    return stream.average_rate or stream.guessed_rate or stream.base_rate or DEFAULT_FPS


# --- pictures: a folder, an animation, one image -----------------------------------------------------------


def _is_pictures(path: Path) -> bool:
    return path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES


def _picture_shots(path: Path) -> Iterator[Shot]:
    if path.is_dir():
        for index, file in enumerate(_images_in(path)):
            yield Shot(index / DEFAULT_FPS, 1 / DEFAULT_FPS, pixels=lambda file=file: _pixels_in(file))  # type: ignore[misc]
        return
    start = Fraction(0)
    with _open_image(path) as image:
        if getattr(image, "n_frames", 1) == 1:
            yield Shot(start, 1 / DEFAULT_FPS, pixels=lambda: _pixels_in(path))
            return
        for page in ImageSequence.Iterator(image):
            try:
                array = rgb_pixels(page)
            except (OSError, SyntaxError, ValueError) as error:
                raise VideoError(f"video {path}: damaged ({error}); save the animation again") from error
            duration = _duration(page)
            yield Shot(start, duration, pixels=lambda array=array: array)  # type: ignore[misc]
            start += duration


def _picture_clock(path: Path) -> tuple[int, Fraction]:
    """Number of frames and frames per second of a folder, an animation or an image."""
    if path.is_dir():
        return len(_images_in(path)), DEFAULT_FPS
    with _open_image(path) as image:
        count = getattr(image, "n_frames", 1)
        if count == 1:
            return 1, DEFAULT_FPS
        return count, count / sum((_duration(page) for page in ImageSequence.Iterator(image)), Fraction(0))


def _duration(page: Image.Image) -> Fraction:
    """Seconds that a page of an animation is shown; PIL gives milliseconds, 0 or nothing when undeclared."""
    page.load()  # WebP knows the duration only then
    milliseconds = page.info.get("duration") or 0
    return Fraction(milliseconds) / 1000 if milliseconds > 0 else 1 / DEFAULT_FPS


def _images_in(folder: Path) -> list[Path]:
    files = [file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file()]
    if not files:
        raise VideoError(f"video {folder}: a folder without images; put PNG or JPEG files into it")
    return sorted(files, key=_natural_key)


def _natural_key(file: Path) -> list[tuple[int, str]]:
    """frame_2 before frame_10."""
    parts = re.split(r"([0-9]+)", file.name.lower())
    return [(int(part), "") if i % 2 else (-1, part) for i, part in enumerate(parts)]


def _pixels_in(file: Path) -> np.ndarray:
    try:
        return read_pixels(file)
    except InputError as error:
        raise VideoError(f"video frame from {error}") from error


def _open_image(path: Path) -> Image.Image:
    try:
        return Image.open(path)
    except (UnidentifiedImageError, OSError) as error:
        raise VideoError(f"video {path}: not an image that can be read; save it again as PNG") from error


def _existing(path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    if not exists(path):
        raise VideoError(f"video {path}: no such file or folder; check the path")
    check = readable_folder if path.is_dir() else readable_file
    return check(path, name="video", error=VideoError)
