"""Cases of real media: a clip that drives its own first frame, and portraits that it drives."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from torch import Tensor

from ..errors import FaceNotFoundError, InputError
from ..faces.analyze import analyze_frames
from ..faces.analyzer import FaceAnalyzer
from ..faces.foreground import estimate_foreground
from ..images import IMAGE_SUFFIXES, check_reference, read_pixels, to_float
from ..paths import readable_folder
from ..portraits import analyze_portrait
from ..types import FaceTrack
from ..video.read import read_shots
from .cases import Case, Pair

VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".gif"})
_PICTURE_SUFFIXES = IMAGE_SUFFIXES - VIDEO_SUFFIXES
_LOOKED = 50  # frames in which a clip's first face is looked for


@dataclass(frozen=True)
class Portrait:
    """A picture whose face is known.

    Attributes:
        name: of its file.
        image: (1, 3, H, W) in [-1, 1].
        track: its face.
        foreground: (1, 1, H, W).
    """

    name: str
    image: Tensor
    track: FaceTrack
    foreground: Tensor


@dataclass(frozen=True)
class Clip:
    """Frames that follow one another, the first of which shows a face.

    Attributes:
        name: of its file.
        pixels: (F + 1, H, W, 3) uint8.
        track: the face.
    """

    name: str
    pixels: np.ndarray
    track: FaceTrack


def find_media(folder: str | Path, *, option: str) -> tuple[list[Path], list[Path]]:
    """Videos and pictures of a folder, each in name order.

    Raises:
        InputError: the folder cannot be listed, or holds neither; names the option.
    """
    paths = sorted(path for path in readable_folder(folder, name=option).iterdir() if path.is_file())
    videos = [path for path in paths if path.suffix.lower() in VIDEO_SUFFIXES]
    pictures = [path for path in paths if path.suffix.lower() in _PICTURE_SUFFIXES]
    if not videos and not pictures:
        kinds = ", ".join(sorted(VIDEO_SUFFIXES | _PICTURE_SUFFIXES))
        raise InputError(f"{option} {folder}: holds no videos and no pictures ({kinds}); give a folder that does")
    return videos, pictures


def read_clip(path: Path, analyzer: FaceAnalyzer, *, frames: int, every: int = 1, longest: int, max_gap: int) -> Clip:
    """A clip from its first frame with a face on.

    Args:
        frames: after that one, at most.
        every: one of so many frames is taken.
        longest: pixels along the long side; larger frames are made smaller.
        max_gap: frames without the face that are filled in.
    Raises:
        PortraitError: the file cannot be read, or shows no face, or not for long enough.
    """
    shots = (_reduced(shot.pixels(), longest) for shot in read_shots(path))
    for frame in itertools.islice(shots, _LOOKED):
        if analyzer.detect(frame):
            pixels = np.stack([frame, *itertools.islice(shots, every - 1, every * frames, every)])
            break
    else:
        raise FaceNotFoundError(f"{path}: no face in the first {_LOOKED} frames; cut the clip to where one is")
    if len(pixels) < 2:
        raise InputError(f"{path}: nothing follows its first frame with a face; give a longer clip")
    return Clip(path.name, pixels, analyze_frames(pixels, analyzer, name=str(path), max_gap=max_gap))


def read_portrait(path: Path, analyzer: FaceAnalyzer, *, longest: int) -> Portrait:
    """A picture and its face, read as ``animate`` reads it; sizes and errors as of ``read_clip``."""
    return _portrait(_reduced(read_pixels(path), longest), analyzer, path.name)


def own_portrait(clip: Clip, analyzer: FaceAnalyzer) -> Portrait:
    """A clip's first frame as a portrait."""
    return _portrait(clip.pixels[0], analyzer, clip.name)


def _portrait(pixels: np.ndarray, analyzer: FaceAnalyzer, name: str) -> Portrait:
    image = check_reference(to_float(pixels[None]), name=name)
    track = analyze_portrait(pixels, analyzer, name=name)
    return Portrait(name, image, track, estimate_foreground(image, track))


def self_case(clip: Clip, portrait: Portrait) -> Case:
    """The clip drives its own first frame: what has to come out are the frames after it."""
    pair = cross_pair(clip, portrait)
    return Case(**vars(pair), target=pair.frames[1:], landmarks=clip.track.landmarks[1:])


def cross_pair(clip: Clip, portrait: Portrait) -> Pair:
    """The clip drives a portrait; nobody knows what has to come out."""
    return Pair(
        name=portrait.name,
        reference=portrait.image,
        foreground=portrait.foreground,
        own=portrait.track,
        driving=clip.track,
        frames=to_float(clip.pixels),
    )


def spread_pairs(clips: Sequence[Clip], portraits: Sequence[Portrait], limit: int) -> Iterator[tuple[Clip, Portrait]]:
    """Clips and portraits joined, at most so many pairs: each is taken about as often as the others."""
    every = [
        (clips[(number + shift) % len(clips)], portrait)
        for shift in range(len(clips))
        for number, portrait in enumerate(portraits)
    ]
    return itertools.islice(every, limit)


def _reduced(pixels: np.ndarray, longest: int) -> np.ndarray:
    height, width = pixels.shape[:2]
    factor = longest / max(height, width)
    if factor >= 1:
        return pixels
    size = (max(round(width * factor), 1), max(round(height * factor), 1))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))
