"""Reads expression and pose of a face with MediaPipe's Face Landmarker: the instrument of ``expression.py``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from ..faces.analyzer import check_frame
from ..faces.closing import Closing
from ..faces.mediapipe_backend import create_landmarker, find_model
from .expression import SIGNALS, reading

_MIN_SIDE = 512
_MIN_CONFIDENCE = 0.3  # generated faces are blurred; a face missed is a frame that does not count


class ExpressionReader:
    """One face of a frame as a row of ``expression.SIGNALS``.

    Each frame is read by itself (IMAGE mode), with no tracking, smoothing or second look: what arrives is measured,
    not what an analyser makes of it.

    Args:
        model_path: the network's file; None searches, see ``faces.mediapipe_backend.find_model``.
        folders: where else to search.
    Raises:
        DependencyError: mediapipe or the network's file is missing.
        CheckpointError: the file is not the published one.
    """

    def __init__(self, model_path: str | Path | None = None, *, folders: Sequence[str | Path] = ()) -> None:
        path = find_model(model_path, folders=folders)
        self._landmarker = create_landmarker(path, max_faces=1, min_confidence=_MIN_CONFIDENCE)
        self._close = Closing(self, self._landmarker.close)

    def close(self) -> None:
        """Free the network; happens by itself some time after the reader is dropped."""
        self._close()

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 RGB -> (len(SIGNALS),) float64, all NaN where no face is found."""
        import mediapipe

        check_frame(frame, name="frame")
        image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(_enlarged(frame)))
        found = self._landmarker.detect(image)
        if not found.face_blendshapes:
            return np.full(len(SIGNALS), np.nan)
        scores = {shape.category_name: shape.score for shape in found.face_blendshapes[0]}
        return reading(scores, np.asarray(found.facial_transformation_matrixes[0]))

    def read(self, frames: Iterable[np.ndarray]) -> np.ndarray:
        """Frames of a clip -> (F, len(SIGNALS)) float64."""
        return np.array([self(frame) for frame in frames], np.float64).reshape(-1, len(SIGNALS))


def _enlarged(frame: np.ndarray) -> np.ndarray:
    """At least 512 pixels along the shorter side: small faces read coarsely, and differently from large ones."""
    height, width = frame.shape[:2]
    factor = _MIN_SIDE / min(height, width)
    if factor <= 1:
        return frame
    return cv2.resize(frame, (round(width * factor), round(height * factor)), interpolation=cv2.INTER_CUBIC)
