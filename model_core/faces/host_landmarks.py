"""Faces that another program has found: the landmarks of ComfyUI's own nodes, which need no package of ours.

They are MediaPipe's, one list of faces for each frame. Their x and y are pixels of the frame; their depth is in units
of the crop in which the face was measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import InputError
from ..types import NUM_LANDMARKS
from .analyzer import FaceDetection
from .blendshapes import BLENDSHAPES


def faces_from_landmarks(landmarks: Any, *, name: str) -> tuple[list[list[FaceDetection]], tuple[int, int]]:
    """A FACE_LANDMARKS value as ``detect_faces`` would have found it.

    Args:
        landmarks: "frames": for each frame its faces, dicts of "landmarks_xy" (478, 2) and "landmarks_3d" (478, 3),
            "score", and perhaps "blendshapes" by their names; "image_size": (height, width).
        name: of the input, for messages.
    Returns:
        the faces of every frame, and the frames' (height, width).
    Raises:
        InputError: it is not of this form, or its landmarks are not MediaPipe's 478.
    Source: the form of ComfyUI's comfy_extras/nodes_mediapipe.py, August 2026.
    """
    try:
        height, width = landmarks["image_size"]
        frames = [[_detection(face) for face in faces] for faces in landmarks["frames"]]
    except (KeyError, TypeError, ValueError, IndexError, np.linalg.LinAlgError) as error:
        raise InputError(
            f"{name}: not of the form that is known here; connect ComfyUI's own Detect Face Landmarks"
        ) from error
    return frames, (int(height), int(width))


def _detection(face: Mapping[str, Any]) -> FaceDetection:
    flat = np.asarray(face["landmarks_xy"], np.float64).reshape(NUM_LANDMARKS, 2)
    crop = np.asarray(face["landmarks_3d"], np.float64).reshape(NUM_LANDMARKS, 3)
    # the crop's pixels lie in the frame by an affine map, whose scale is that of the depth too
    placed = np.linalg.lstsq(np.column_stack([crop[:, :2], np.ones(NUM_LANDMARKS)]), flat, rcond=None)[0]
    depth = crop[:, 2] * np.linalg.norm(placed[0])
    points = np.column_stack([flat, depth]).astype(np.float32)
    if not np.isfinite(points).all():
        raise ValueError("NaN or infinite landmarks")
    box = np.concatenate([points[:, :2].min(axis=0), points[:, :2].max(axis=0)])
    return FaceDetection(box, points, float(np.clip(face["score"], 0.01, 1.0)), blendshapes=_coefficients(face))


def _coefficients(face: Mapping[str, Any]) -> np.ndarray | None:
    """(51,) float32, or None where some are missing."""
    named = face.get("blendshapes") or {}
    if not named.keys() >= set(BLENDSHAPES):
        return None
    return np.array([named[name] for name in BLENDSHAPES], np.float32).clip(0.0, 1.0)
