"""From frames to one followed face: detect, track, smooth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..images import to_uint8
from ..types import FaceTrack
from .analyzer import FaceAnalyzer, FaceDetection, check_frame
from .smoothing import smooth_track
from .tracking import GapPolicy, MissingPolicy, track_face


@dataclass(frozen=True)
class ClipFaces:
    """One face followed through a clip, and what was seen in every frame of it.

    Attributes:
        track: one entry for each of the frames in ``kept``, in this order.
        kept: (K,) int64, ascending numbers of the clip's frames that the track describes: all of them, or
            with the policy "skip" those that show the face.
        confidence: (F,) float32 of every frame of the clip, 0 where the face was not seen.
        detected: (F,) bool, whether it was seen.
    """

    track: FaceTrack
    kept: np.ndarray
    confidence: np.ndarray
    detected: np.ndarray


def analyze_clip(
    frames: Iterable[np.ndarray] | Tensor,
    analyzer: FaceAnalyzer,
    *,
    name: str,
    face_index: int = 0,
    max_gap: int = 5,
    policy: MissingPolicy = "interpolate",
    smoothing: bool = False,
    fps: float = 25.0,
    progress: Callable[[int], object] | None = None,
) -> ClipFaces:
    """``analyze_frames`` that can also leave out the frames without the face, and tells what it saw.

    Args:
        policy: as for ``track_face``, or "skip": frames without the face are left out of the track, however
            many they are; ``kept`` says which remain. Smoothing still knows the time that passed in a gap.
    """
    detections: list[list[FaceDetection]] = []
    size = (0, 0)
    for faces, size in detect_faces(frames, analyzer, name=name):  # noqa: B007 - the last one counts
        detections.append(faces)
        if progress is not None:
            progress(len(detections))
    return follow_face(
        detections,
        size=size,
        name=name,
        face_index=face_index,
        max_gap=max_gap,
        policy=policy,
        smoothing=smoothing,
        fps=fps,
    )


def follow_face(
    detections: Sequence[Sequence[FaceDetection]],
    *,
    size: tuple[int, int],
    name: str,
    face_index: int = 0,
    max_gap: int = 5,
    policy: MissingPolicy = "interpolate",
    smoothing: bool = False,
    fps: float = 25.0,
) -> ClipFaces:
    """The second half of ``analyze_clip``: from the faces of every frame, as ``detect_faces`` found them."""
    skip = policy == "skip"
    track = track_face(
        detections,
        size=size,
        name=name,
        face_index=face_index,
        max_gap=len(detections) if skip else max_gap,
        policy="interpolate" if policy == "skip" else policy,
    )
    seen = np.flatnonzero(track.detected) if skip else np.arange(len(track))
    whole = smooth_track(track, fps=fps) if smoothing else track
    return ClipFaces(whole.take(seen.tolist()) if skip else whole, seen, track.confidence, track.detected)


def analyze_frames(
    frames: Iterable[np.ndarray] | Tensor,
    analyzer: FaceAnalyzer,
    *,
    name: str,
    face_index: int = 0,
    max_gap: int = 5,
    policy: GapPolicy = "interpolate",
    smoothing: bool = False,
    fps: float = 25.0,
    progress: Callable[[int], object] | None = None,
) -> FaceTrack:
    """Find one face in every frame of a clip, or in one portrait.

    Frames are taken one at a time, so a long video need not be in memory.

    Args:
        frames: (H, W, 3) uint8 RGB arrays of one size, or a tensor (F, 3, H, W) in [-1, 1].
        analyzer: finds the faces of a frame.
        name: of the clip or image, for messages.
        face_index, max_gap, policy: see ``track_face``.
        smoothing: calm the landmarks with a One-Euro filter without lag (``smooth_track``).
        fps: frames per second, for the smoothing.
        progress: told the number of frames done after each; cancels by raising.
    Raises:
        FaceNotFoundError: no face, or a gap that is too long; see ``track_face``.
        InputError: no frames, frames of different sizes, NaN pixels.
    """
    return analyze_clip(
        frames,
        analyzer,
        name=name,
        face_index=face_index,
        max_gap=max_gap,
        policy=policy,
        smoothing=smoothing,
        fps=fps,
        progress=progress,
    ).track


def detect_faces(
    frames: Iterable[np.ndarray] | Tensor,
    analyzer: FaceAnalyzer,
    *,
    name: str,
    first: int = 0,
    size: tuple[int, int] | None = None,
) -> Iterator[tuple[list[FaceDetection], tuple[int, int]]]:
    """The faces of every frame and the frames' size (H, W), one frame at a time.

    Args:
        frames, analyzer, name: as for ``analyze_frames``.
        first: number of the first of these frames, for messages.
        size: of the frames before; None where there are none.
    Raises:
        InputError: as ``analyze_frames``.
    """
    for number, frame in enumerate(_pixels(frames, name=name), start=first):
        check_frame(frame, name=f"{name}, frame {number}")
        height, width = frame.shape[:2]
        if size is not None and size != (height, width):
            raise InputError(
                f"{name}: frame {number} is {width}x{height}, the frames before it {size[1]}x{size[0]}; "
                "bring all frames to one size"
            )
        size = (height, width)
        yield analyzer.detect(frame), size
    if size is None:
        raise InputError(f"{name}: has no frames; choose a video that is not empty")


def _pixels(frames: Iterable[np.ndarray] | Tensor, *, name: str) -> Iterator[np.ndarray]:
    if not isinstance(frames, Tensor):
        yield from frames
        return
    for number, frame in enumerate(frames):
        if not torch.isfinite(frame).all():
            raise InputError(f"{name}, frame {number}: NaN or infinite pixels; check how it was made")
        yield to_uint8(frame[None])[0]
