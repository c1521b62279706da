"""What any face detector must offer, so that the rest of the line does not know which one runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..errors import InputError


@dataclass(frozen=True)
class FaceDetection:
    """One face in one frame.

    Attributes:
        box: (4,) float32, x0 y0 x1 y1 in pixels of the frame; may reach beyond it.
        landmarks: (478, 3) float32 in MediaPipe's topology; x, y in pixels (the centre of the first pixel is
            at 0.5), z in the same unit, towards the viewer < 0.
        confidence: in (0, 1]; what it means is the analyser's to say.
        label_map: (H, W) uint8 of ``Component`` and ``PersonPart`` from an analyser that parses pixels, else None:
            then it is drawn from the landmarks on demand.
        blendshapes: (51,) float32 in [0, 1], expression coefficients in the order of ``blendshapes.py``, or None from
            an analyser that reads none.
        pose: (3,) float32, how the head is turned as the analyser reads it: a rotation vector in radians, axes of the
            picture (x to the right, y down, z away from the viewer), from a head that looks straight out of it; None
            from an analyser that does not say.
    """

    box: np.ndarray
    landmarks: np.ndarray
    confidence: float
    label_map: np.ndarray | None = None
    blendshapes: np.ndarray | None = None
    pose: np.ndarray | None = None


class FaceAnalyzer(Protocol):
    """Finds the faces of one frame; the same frame always gives the same faces (no state between frames)."""

    def detect(self, frame: np.ndarray) -> list[FaceDetection]:
        """All faces of a frame, (H, W, 3) uint8 RGB, in any order; an empty list where there is none."""
        ...


def check_frame(frame: np.ndarray, *, name: str) -> np.ndarray:
    """The frame itself if it is (H, W, 3) uint8 RGB.

    Args:
        name: what to call it in the message, such as "driving.mp4, frame 3".
    Raises:
        InputError: it is not; NaN pixels, which only floats can hold, are told apart.
    """
    if not np.issubdtype(frame.dtype, np.integer) and not np.isfinite(frame).all():
        raise InputError(f"{name}: NaN or infinite pixels; check how the image was made")
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or 0 in frame.shape:
        raise InputError(
            f"{name}: shape {frame.shape} of {frame.dtype}, need (height, width, 3) of uint8; convert it to 8-bit RGB"
        )
    return frame
