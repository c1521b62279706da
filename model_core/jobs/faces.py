"""The driving face of a long video: found once, block by block, and kept in the job's folder.

Finding faces is the slower half of a short-stepped job, so it goes on where it was left too. The track that is
made of them is read from the disk a chunk at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from ..bounds import Bounds, check_settings
from ..errors import VideoError
from ..faces.analyze import detect_faces, follow_face
from ..faces.analyzer import FaceAnalyzer, FaceDetection
from ..motion.scenes import MotionSettings, Scene, place_scenes
from ..types import FaceTrack
from ..video.read import Shot, open_video, read_shots
from ..video.segments import Clock
from . import label_maps as stored_maps
from .folder import JobFolder

BLOCK = 256
"""Frames of a block: about ten seconds of work."""

MissingFace = Literal["interpolate", "hold", "error"]

_LAST = "last"
_TRACK_PARTS = ("boxes", "landmarks", "confidence", "detected", "blendshapes", "poses")
"""Of a stored track; the last two are left out where the analyser reads none."""
_TICKETS = "label_tickets"
_SHORT_GAP = 8
"""Frames without the face that are bridged when it is pasted into the driving frame; longer, and it fades out."""
_FADE = 4


@dataclass(frozen=True)
class FaceSettings:
    """How the driving face is followed; see ``faces.tracking.track_face`` and ``faces.smoothing``."""

    face_index: Annotated[int, Bounds(0, 1000)] = 0
    max_gap: Annotated[int, Bounds(0, 1_000_000)] = 8
    missing: MissingFace = "interpolate"
    smoothing: bool = False

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True)
class StoredTrack:
    """A face track in a file, of which only what is taken comes into memory.

    Attributes:
        path: its safetensors file.
        frames: their number.
        size: (H, W) of the frames in pixels.
        blocks: the files that hold its label maps, by the number of the block.
    """

    path: Path
    frames: int
    size: tuple[int, int]
    blocks: dict[int, Path] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.frames

    def take(self, frames: range, *, label_maps: bool = True) -> FaceTrack:
        """The track of frames that follow one another; without label maps, which take longest to read, if not asked."""
        with safe_open(str(self.path), framework="np") as file:
            parts = {
                name: file.get_slice(name)[frames.start : frames.stop]
                for name in _TRACK_PARTS
                if name in file.keys()  # noqa: SIM118 - not a mapping
            }
            kept = label_maps and _TICKETS in file.keys()  # noqa: SIM118
            tickets = file.get_slice(_TICKETS)[frames.start : frames.stop] if kept else []
        maps = [stored_maps.read(ticket, self.blocks) for ticket in tickets]
        return FaceTrack(**parts, size=self.size, label_maps=np.stack(maps) if maps else None)


@dataclass(frozen=True)
class DrivingFace:
    """All that is known of the driving video before sampling.

    Attributes:
        track: the face, on disk.
        clock: when the frames are shown.
        scenes: where they lie in the portrait.
        presence: (F,) float32 in [0, 1], 0 where the face is gone for long, with short fades.
    """

    track: StoredTrack
    clock: Clock
    scenes: list[Scene]
    presence: np.ndarray


def find_faces(
    place: JobFolder,
    driving: Path,
    analyzer: FaceAnalyzer,
    *,
    limit: int | None,
    progress: Callable[[int], object] | None = None,
) -> int:
    """Find the faces of every driving frame that has not been looked at yet.

    Args:
        limit: frames to look at; None all.
        progress: told the number of frames done, after each.
    Returns:
        the number of frames.
    Raises:
        VideoError, InputError: the video is damaged or has no frames; finished blocks are kept.
    """
    done, number, size = 0, 0, None
    while (stored := place.load(place.faces(number))) is not None:
        tensors, notes = stored
        done, number = done + len(tensors["counts"]), number + 1
        size = _size(notes)
        if _LAST in notes:
            return done
    shots = read_shots(driving, start=done, limit=None if limit is None else limit - done)
    starts: list[Fraction] = []

    def pixels() -> Iterator[np.ndarray]:
        for shot in shots:
            starts.append(shot.start)
            yield shot.pixels()

    block: list[list[FaceDetection]] = []
    for faces, size in detect_faces(pixels(), analyzer, name=str(driving), first=done, size=size):  # noqa: B020
        if len(block) == BLOCK:  # kept back until a frame follows, so that the last block knows that it is
            _save_block(place, number, block, starts[:BLOCK], size, last=False)
            block, number = [], number + 1
            del starts[:BLOCK]
        block.append(faces)
        done += 1
        if progress is not None:
            progress(done)
    _save_block(place, number, block, starts, size or (0, 0), last=True)
    return done


def _save_block(
    place: JobFolder,
    number: int,
    block: list[list[FaceDetection]],
    starts: list[Fraction],
    size: tuple[int, int],
    *,
    last: bool,
) -> None:
    faces = [face for frame in block for face in frame]
    landmarks = [face.landmarks for face in faces]
    boxes = [face.box for face in faces]
    tensors = {
        "counts": torch.tensor([len(frame) for frame in block], dtype=torch.int64),
        "starts": torch.tensor([start.as_integer_ratio() for start in starts], dtype=torch.int64).reshape(-1, 2),
        "confidence": torch.tensor([face.confidence for face in faces], dtype=torch.float32),
        "boxes": torch.from_numpy(np.stack(boxes) if boxes else np.zeros((0, 4), np.float32)),
        "landmarks": torch.from_numpy(np.stack(landmarks) if landmarks else np.zeros((0, 478, 3), np.float32)),
    }
    for name, values in (
        ("blendshapes", [face.blendshapes for face in faces]),
        ("poses", [face.pose for face in faces]),
    ):
        said = [value for value in values if value is not None]
        if said and len(said) == len(faces):
            tensors[name] = torch.from_numpy(np.stack(said))
    labels = [face.label_map for face in faces if face.label_map is not None]
    if labels and len(labels) == len(faces):
        tensors |= stored_maps.pack(labels)
    notes = {"size": f"{size[0]} {size[1]}"} | ({_LAST: "yes"} if last else {})
    place.save(place.faces(number), tensors, notes)


def _size(notes: dict[str, str]) -> tuple[int, int]:
    height, width = notes["size"].split()
    return int(height), int(width)


def follow_driving_face(
    place: JobFolder,
    driving: Path,
    settings: FaceSettings,
    *,
    reference: FaceTrack,
    motion: MotionSettings,
) -> DrivingFace:
    """The face that drives, of what ``find_faces`` has found, written to the job's folder.

    Raises:
        FaceNotFoundError: see ``track_face``.
    """
    detections: list[list[FaceDetection]] = []
    starts: list[Fraction] = []
    size, number = (0, 0), 0
    while (stored := place.load(place.faces(number))) is not None:
        tensors, notes = stored
        detections += _stored_detections(tensors, block=number)
        size, number = _size(notes), number + 1
        starts += [Fraction(top, bottom) for top, bottom in tensors["starts"].tolist()]
    fps = open_video(driving).fps
    track = follow_face(
        detections,
        size=size,
        name=str(driving),
        face_index=settings.face_index,
        max_gap=settings.max_gap,
        policy=settings.missing,
        smoothing=settings.smoothing,
        fps=float(fps),
    ).track
    arrays = {name: getattr(track, name) for name in _TRACK_PARTS}
    arrays[_TICKETS] = track.label_maps
    track = replace(track, label_maps=None)
    place.save(place.track, {name: torch.from_numpy(part) for name, part in arrays.items() if part is not None}, {})
    blocks = {block: place.faces(block) for block in range(number)}
    return DrivingFace(
        track=StoredTrack(place.track, len(track), track.size, blocks),
        clock=Clock(tuple(starts), fps),
        scenes=place_scenes(track, reference, motion),
        presence=presence(track.detected),
    )


def _stored_detections(tensors: dict[str, Tensor], *, block: int) -> list[list[FaceDetection]]:
    """A block as ``_save_block`` was given it, with tickets for label maps."""
    boxes, landmarks = tensors["boxes"].numpy(), tensors["landmarks"].numpy()
    shapes, poses = (
        tensors[name].numpy() if name in tensors else [None] * len(boxes) for name in ("blendshapes", "poses")
    )
    labels = stored_maps.tickets(tensors, block=block) or [None] * len(boxes)
    parts = zip(boxes, landmarks, tensors["confidence"].tolist(), labels, shapes, poses, strict=True)
    faces = (FaceDetection(*part) for part in parts)
    return [[next(faces) for _ in range(count)] for count in tensors["counts"].tolist()]


def presence(detected: np.ndarray) -> np.ndarray:
    """How much the face is there in every frame: 1, but for long gaps, towards which it fades.

    Args:
        detected: (F,) bool.
    """
    edges = np.flatnonzero(np.diff([0, *(~detected).astype(int), 0])).reshape(-1, 2)
    frames = np.arange(len(detected))
    made = np.ones(len(detected), np.float32)
    for start, stop in edges[edges[:, 1] - edges[:, 0] > _SHORT_GAP]:
        away = np.maximum(start - frames, frames - (stop - 1)).clip(min=0)
        made = np.minimum(made, (away / _FADE).clip(0.0, 1.0).astype(np.float32))
    return made


class ForwardFrames:
    """The driving frames once more, in order, for those stages that need their pixels: one is held at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._shots: Iterator[Shot] = iter(())
        self._next: int | None = None

    def read(self, start: int, stop: int) -> Iterator[np.ndarray]:
        """Frames (H, W, 3) uint8 from ``start`` to ``stop``; going on costs nothing, going elsewhere a new decoding."""
        if self._next != start:
            self._shots = read_shots(self._path, start=start)
        self._next = None
        for number in range(start, stop):
            shot = next(self._shots, None)
            if shot is None:
                raise VideoError(f"video {self._path}: frame {number} is gone; was it changed meanwhile?")
            self._next = number + 1
            yield shot.pixels()
