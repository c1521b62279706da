"""How every video of this project is encoded: H.264, yuv420p, BT.709, so that every player shows it."""

from __future__ import annotations

import contextlib
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

import av
import numpy as np
import torch
from av.container import OutputContainer
from av.video.reformatter import ColorRange, Colorspace

CONTAINERS = MappingProxyType({".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"})
"""FFmpeg's name of the container, by the suffix of the file."""

_BT709 = 1
_THREADS = 4
"""Fixed: the bits that x264 writes depend on it, and a video must not depend on the machine's cores."""


def add_h264(
    container: OutputContainer, size: tuple[int, int], *, fps: Fraction, crf: int | None, tick: Fraction | None = None
) -> av.VideoStream:
    """A stream for frames of ``size`` (H, W); odd sides become one pixel larger, as 4:2:0 needs.

    Args:
        crf: quality, 0 to 51; None keeps every bit of the 4:2:0 frames, quickly and in several times the room.
        tick: seconds that the frames' times are counted in; None counts frames.
    """
    quality = {"qp": "0", "preset": "veryfast"} if crf is None else {"crf": str(crf), "preset": "medium"}
    options = {**quality, "threads": str(_THREADS)}
    if torch.backends.cpu.get_cpu_capability() == "AVX512":
        # x264's AVX-512 code now and then gives other bits of the very same frames (docs/benchmarks.md)
        options["x264-params"] = "asm=avx2"
    stream = container.add_stream("libx264", rate=fps, options=options)
    stream.height, stream.width = size[0] + size[0] % 2, size[1] + size[1] % 2
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    if tick is not None:
        context.time_base = tick
    context.colorspace = Colorspace.ITU709
    context.color_primaries = context.color_trc = _BT709
    context.color_range = ColorRange.MPEG
    return stream


def to_video_frame(pixels: np.ndarray, number: int, *, fps: Fraction) -> av.VideoFrame:
    """(H, W, 3) uint8 RGB as a frame to encode; an odd side gets its last line once more."""
    height, width = pixels.shape[:2]
    if height % 2 or width % 2:
        pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    rgb = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    frame = rgb.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)
    frame.pts = number
    frame.time_base = 1 / fps
    return frame


def muxer_options(kind: str) -> dict[str, str]:
    """Else MP4 keeps the few metadata only that its makers named, and players wait for its end."""
    return {} if kind == "matroska" else {"movflags": "use_metadata_tags+faststart"}


def open_for_muxer(path: Path) -> BinaryIO:
    """A file of Python's own rather than FFmpeg's, whose failed writes may surface only at the end.

    Unbuffered: to move the index to the front, FFmpeg reads by the file's name what it wrote.
    """
    return open(path, "wb", buffering=0)


def close_quietly(resource: BinaryIO | OutputContainer) -> None:
    """Close after an error: an abandoned container still writes its trailer, which may fail again."""
    with contextlib.suppress(OSError, av.error.FFmpegError):
        resource.close()
