"""Bring a folder of real clips into the form that training reads (clips.py).

    folder/
      anything.mp4            a clip: reference and targets are drawn from it, and it drives itself
      anything.jpg            a photograph: a clip of one frame, for ``data.photos``
      a_triple/               cross-identity supervision (Stable Video-Driven Portraits)
        target.mp4            A, the video to be made
        driving.mp4           B performing the same motion, frame by frame

Every video is cropped steadily around its face and resized. Faces are analysed once, here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from ..errors import InputError, PortraitError
from ..faces.analyze import analyze_frames
from ..faces.analyzer import FaceAnalyzer
from ..faces.foreground import estimate_foreground
from ..faces.framing import frame_portrait
from ..faces.mediapipe_backend import MediaPipeAnalyzer
from ..images import read_pixels
from ..types import FaceTrack
from ..video.read import read_video
from .clips import write_clip

_log = logging.getLogger(__name__)
_VIDEOS = {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi"}
_PHOTOS = {".jpg", ".jpeg", ".png", ".webp"}


@dataclass(frozen=True)
class ClipSource:
    """One clip to prepare: its video or photograph, and the video of another identity that drives it, if any."""

    name: str
    target: Path
    driving: Path | None = None


def find_sources(folder: Path) -> list[ClipSource]:
    """Clips, photographs and triples of a folder in name order; an empty folder is an InputError."""
    sources = []
    for path in sorted(folder.iterdir() if folder.is_dir() else ()):
        if path.suffix.lower() in _VIDEOS | _PHOTOS:
            sources.append(ClipSource(path.stem, path))
        elif (path / "target.mp4").is_file() and (path / "driving.mp4").is_file():
            sources.append(ClipSource(path.name, path / "target.mp4", path / "driving.mp4"))
    if not sources:
        raise InputError(f"{folder}: no video clips, no photographs and no folders with target.mp4 and driving.mp4")
    return sources


def prepare_folder(folder: Path, output: Path, *, size: int, frames: int, analyzer: FaceAnalyzer | None = None) -> int:
    """Prepare all clips of a folder; those already prepared are kept, unusable ones are logged and left out.

    Args:
        size: side of the square frames in pixels.
        frames: at most so many frames of each clip.
    Returns:
        how many clips stand ready in ``output``.
    """
    sources = find_sources(folder)
    analyzer = analyzer or MediaPipeAnalyzer()
    output.mkdir(parents=True, exist_ok=True)
    ready = 0
    for source in tqdm(sources, desc="prepare", unit="clip"):
        path = output / f"{source.name}.npz"
        if not path.exists():
            try:
                arrays = prepare_clip(source, size=size, frames=frames, analyzer=analyzer)
            except PortraitError as error:  # one bad clip does not cost the others
                _log.warning("left out: %s", error)
                continue
            write_clip(path, arrays)
        ready += 1
    return ready


def prepare_clip(source: ClipSource, *, size: int, frames: int, analyzer: FaceAnalyzer) -> dict[str, np.ndarray]:
    """The arrays of one prepared clip, as clips.py lists them."""
    target = _read(source.target, frames)
    track = analyze_frames(target, analyzer, name=str(source.target))
    images, masks, landmarks = _crop_clip(target, track, size)
    arrays = {"images": images, "foreground": masks, "landmarks": landmarks}
    if source.driving is not None:
        driving = read_video(source.driving, limit=frames)
        if len(driving) != len(target):
            raise InputError(
                f"{source.driving}: {len(driving)} frames, the target has {len(target)}; "
                "a triple needs the same motion frame by frame"
            )
        driver = analyze_frames(driving, analyzer, name=str(source.driving))
        arrays["driving_landmarks"] = _crop_clip(driving, driver, size)[2][None]
    return arrays


def _read(path: Path, limit: int) -> np.ndarray:
    """(F, H, W, 3) uint8 of a video, or of a photograph as its only frame."""
    return read_pixels(path)[None] if path.suffix.lower() in _PHOTOS else read_video(path, limit=limit)


def _crop_clip(frames: Iterable[np.ndarray], track: FaceTrack, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Crop every frame alike, by the clip's median face: the face moves, the frame stands."""
    steady = _median_track(track)
    images, masks, landmarks = [], [], []
    for index, frame in enumerate(frames):
        image = torch.from_numpy(frame).permute(2, 0, 1)[None].float() / 127.5 - 1
        own = track.take([index])
        both = FaceTrack(
            boxes=np.concatenate([steady.boxes, own.boxes]),
            landmarks=np.concatenate([steady.landmarks, own.landmarks]),
            confidence=np.concatenate([steady.confidence, own.confidence]),
            detected=np.concatenate([steady.detected, own.detected]),
            size=track.size,
        )
        portrait = frame_portrait(image, both, size=(size, size), framing="face")
        assert portrait.track is not None
        placed = portrait.track.take([1])
        mask = estimate_foreground(portrait.image, placed)
        images.append(((portrait.image[0].permute(1, 2, 0) + 1) * 127.5).round().byte().numpy())
        masks.append((mask[0, 0] * 255).round().byte().numpy())
        landmarks.append(placed.landmarks[0].astype(np.float32))
    return np.stack(images), np.stack(masks), np.stack(landmarks)


def _median_track(track: FaceTrack) -> FaceTrack:
    first = track.take([0])
    return FaceTrack(
        boxes=np.median(track.boxes, axis=0, keepdims=True).astype(np.float32),
        landmarks=np.median(track.landmarks, axis=0, keepdims=True).astype(np.float32),
        confidence=first.confidence,
        detected=first.detected,
        size=track.size,
    )
