"""Bring a folder of real clips into the form that training reads (clips.py).

    folder/
      anything.mp4            a clip: reference and targets are drawn from it; itself drives it, or somebody of another
      anything.jpg            a photograph: a clip of one frame, for ``data.photos``
      a_triple/               cross-identity supervision (Stable Video-Driven Portraits)
        target.mp4            A, the video to be made
        driving.mp4           B performing the same motion, frame by frame

Every video is cropped steadily around its face and resized. Faces are analysed once, here. A prepared clip is named
after its source, by the whole name where several sources share a stem, and knows of what it was made, and how.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ..errors import InputError, PortraitError
from ..faces.analyze import analyze_frames
from ..faces.analyzer import FaceAnalyzer
from ..faces.foreground import estimate_foreground
from ..faces.framing import frame_portrait
from ..faces.mediapipe_backend import MediaPipeAnalyzer
from ..files import file_digest
from ..images import read_pixels
from ..types import FaceTrack
from ..video.read import read_video
from .clips import ClipFile, write_clip

_log = logging.getLogger(__name__)
_VIDEOS = {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi"}
_PHOTOS = {".jpg", ".jpeg", ".png", ".webp"}


@dataclass(frozen=True)
class ClipSource:
    """One clip to prepare: its video or photograph, and the video of another identity that drives it, if any.

    Attributes:
        name: of the prepared clip, without suffix.
    """

    name: str
    target: Path
    driving: Path | None = None

    @property
    def digest(self) -> str:
        """Of the content of its files."""
        return " ".join(file_digest(path) for path in (self.target, self.driving) if path is not None)


def find_sources(folder: Path) -> list[ClipSource]:
    """Clips, photographs and triples of a folder in name order; an empty folder is an InputError."""
    paths = sorted(filter(_is_source, folder.iterdir() if folder.is_dir() else ()))
    if not paths:
        raise InputError(f"{folder}: no video clips, no photographs and no folders with target.mp4 and driving.mp4")
    return [
        ClipSource(name, path / "target.mp4", path / "driving.mp4") if path.is_dir() else ClipSource(name, path)
        for name, path in zip(_distinct(paths), paths, strict=True)
    ]


def _is_source(path: Path) -> bool:
    if path.is_dir():
        return (path / "target.mp4").is_file() and (path / "driving.mp4").is_file()
    return path.suffix.lower() in _VIDEOS | _PHOTOS


def _distinct(paths: Sequence[Path]) -> list[str]:
    """A name for each: its stem, or its whole name where the stem is another's too (a.mp4, a.mov and a folder a)."""
    stems = [path.name if path.is_dir() else path.stem for path in paths]
    claims = Counter(
        name for path, stem in zip(paths, stems, strict=True) for name in {path.name.casefold(), stem.casefold()}
    )
    return [stem if claims[stem.casefold()] == 1 else path.name for path, stem in zip(paths, stems, strict=True)]


def prepare_folder(folder: Path, output: Path, *, size: int, frames: int, analyzer: FaceAnalyzer | None = None) -> int:
    """Prepare all clips of a folder; those already prepared are kept, unusable ones are logged and left out.

    Args:
        size: side of the square frames in pixels.
        frames: at most so many frames of each clip.
    Returns:
        how many clips of this folder stand ready in ``output``.
    Raises:
        InputError: before any work, a clip in ``output`` was made with other settings or of another source.
    """
    plan = _plan(find_sources(folder), output, {"size": size, "frames": frames})
    analyzer = analyzer or MediaPipeAnalyzer()
    output.mkdir(parents=True, exist_ok=True)
    for path, (source, record) in tqdm(plan.items(), desc="prepare", unit="clip"):
        if path.exists():
            continue
        try:
            arrays = prepare_clip(source, size=size, frames=frames, analyzer=analyzer)
        except PortraitError as error:  # one bad clip does not cost the others
            _log.warning("left out: %s", error)
            continue
        write_clip(path, arrays, record)
    return sum(path.exists() for path in plan)


def _plan(
    sources: Sequence[ClipSource], output: Path, settings: Mapping[str, int]
) -> dict[Path, tuple[ClipSource, dict[str, Any]]]:
    """By prepared clip, its source and its record; those that are there are checked."""
    plan: dict[Path, tuple[ClipSource, dict[str, Any]]] = {}
    made = _made(output)
    for source in sources:
        try:
            digest = source.digest
        except PortraitError as error:
            _log.warning("left out: %s", error)
            continue
        record = {"source": source.target.name, "digest": digest, **settings}
        named, same = output / f"{source.name}.npz", made[digest]
        path = same[0] if same and named not in same else named
        if path.exists():
            _check_made(path, source, record)
        plan[path] = source, record
    return plan


def _made(output: Path) -> defaultdict[str, list[Path]]:
    """The clips that stand in a folder, by the digest of what each was made of."""
    found: defaultdict[str, list[Path]] = defaultdict(list)
    for path in sorted(output.glob("*.npz")):
        found[ClipFile(path).record().get("digest", "")].append(path)
    return found


def _check_made(path: Path, source: ClipSource, record: Mapping[str, Any]) -> None:
    """An InputError where a clip that is there is not the one to be made."""
    known = ClipFile(path).record() or _guessed(path, record)
    changed = [name for name in ("size", "frames") if known[name] != record[name]]
    if changed:
        words = ", ".join(f"{name} {known[name]} instead of {record[name]}" for name in changed)
        raise InputError(f"{path}: was prepared with {words}; give the same settings, another output, or remove it")
    if known["digest"] != record["digest"]:
        raise InputError(
            f"{path}: was made of another {known['source']} than {source.target}; give another output, or remove it"
        )
    if source.driving is not None and "driving_images" not in ClipFile(path).load():
        raise InputError(f"{path}: was prepared without the driver's frames, by an older version; remove it")


def _guessed(path: Path, record: Mapping[str, Any]) -> dict[str, Any]:
    """What the record of a clip from before there were records would say, as far as its frames tell."""
    images = ClipFile(path).load()["images"]
    return {**record, "size": images.shape[1], "frames": max(len(images), record["frames"])}


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
        pictures, _, marks = _crop_clip(driving, driver, size)
        arrays.update(driving_landmarks=marks[None], driving_images=pictures[None])
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
