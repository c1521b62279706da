"""A portrait, looked at once: its face, and how expressions are read on it."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from .faces.analyze import analyze_frames
from .faces.analyzer import FaceAnalyzer, FaceDetection
from .geometry import Placement
from .motion.response import probe_landmarks
from .types import FaceTrack
from .warp import PortraitLayers

_AROUND = 2.2  # sizes of the face in the picture that is read
_SIDE = 384  # pixels of that picture at most: the landmarker sees no more


def analyze_portrait(image: np.ndarray, analyzer: FaceAnalyzer, *, name: str, face_index: int = 0) -> FaceTrack:
    """Find a portrait's face, and read it carried to some basic expressions, about a second in all.

    Args:
        image: (H, W, 3) uint8.
        name: of the portrait, for messages.
        face_index: which face, largest first.
    Returns:
        one frame, with ``readings`` where the analyser gives expression coefficients.
    Raises:
        FaceNotFoundError, InputError: see ``analyze_frames``.
    """
    return with_readings(image, analyze_frames([image], analyzer, name=name, face_index=face_index), analyzer)


def with_readings(image: np.ndarray, track: FaceTrack, analyzer: FaceAnalyzer) -> FaceTrack:
    """A portrait's face (one frame) with ``FaceTrack.readings``; as it is where the analyser reads no expressions."""
    if track.blendshapes is None:
        return track

    picture, place = _around(image, track.landmarks[0])
    everyone = np.ones(picture.shape[:2], np.float32)
    layers = PortraitLayers.of(picture, place.points(track.landmarks[0]), everyone)
    rows = []
    for landmarks in place.points(probe_landmarks(track)):
        faces = analyzer.detect(layers.carry(landmarks[None]).frames[0])
        rows.append(_reading(faces[0] if faces else None, track.blendshapes.shape[1]))
    return replace(track, readings=np.stack(rows))


def _reading(face: FaceDetection | None, coefficients: int) -> np.ndarray:
    """Coefficients and pose of one face as one row of float32; NaN where the analyser does not say."""
    shapes = None if face is None else face.blendshapes
    pose = None if face is None else face.pose
    return np.concatenate(
        [
            np.full(coefficients, np.nan, np.float32) if shapes is None else shapes,
            np.full(3, np.nan, np.float32) if pose is None else pose,
        ]
    ).astype(np.float32)


def _around(image: np.ndarray, landmarks: np.ndarray) -> tuple[np.ndarray, Placement]:
    """A square around the face, scaled down where it is large, and what takes points of the image there."""
    low, high = landmarks[:, :2].min(axis=0), landmarks[:, :2].max(axis=0)
    side = float((high - low).max()) * _AROUND
    start = np.maximum(np.floor((low + high - side) / 2), 0).astype(int)
    stop = np.minimum(np.ceil((low + high + side) / 2), image.shape[1::-1]).astype(int)
    part = image[start[1] : stop[1], start[0] : stop[0]]
    scale = min(1.0, _SIDE / max(part.shape[:2]))
    size = (max(round(part.shape[0] * scale), 1), max(round(part.shape[1] * scale), 1))
    small = cv2.resize(part, size[::-1], interpolation=cv2.INTER_AREA) if scale < 1 else part
    place = Placement(np.full(3, scale), np.array([*start, 0.0]), np.zeros(3), size)
    return np.ascontiguousarray(small), place
