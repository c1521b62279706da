"""Another person as the driver of a clip that has none: carried to the targets' landmarks, as if performing them.

Stable Video-Driven Portraits makes such a driver for every clip by reenactment. Here it is the warp that does it: one
picture of somebody else, laid onto each target's face, lids, lips and gaze included.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from ..motion.alignment import face_sizes
from ..warp import PortraitLayers

_OPENINGS = np.array([[13, 14], [159, 145], [386, 374]])  # upper and lower: inner lips, lids of both eyes
_WIDE = 0.5
"""Pictures count that are at least so open, of the clip's most open one: what is shut cannot be opened by a warp."""


def stranger_frames(stranger: dict[str, np.ndarray], faces: np.ndarray, rng: Generator) -> np.ndarray:
    """One picture of another person, carried to every face.

    Args:
        stranger: a prepared clip or photograph of the other person, of the targets' size.
        faces: (F, 478, 3), the targets' landmarks.
    Returns:
        (F, H, W, 3) float32 in [0, 1].
    """
    number = _open_picture(stranger["landmarks"], rng)
    person = stranger["foreground"][number].astype(np.float32) / 255
    layers = PortraitLayers.of(stranger["images"][number], stranger["landmarks"][number], person)
    return layers.carry(faces).frames.astype(np.float32) / 255


def _open_picture(landmarks: np.ndarray, rng: Generator) -> int:
    """The number of a picture in which eyes and mouth are open, as far as they ever are in (T, 478, 3)."""
    upper, lower = np.moveaxis(landmarks[:, _OPENINGS, :2], 2, 0)
    openings = np.linalg.norm(upper - lower, axis=-1) / face_sizes(landmarks)[:, None]
    openness = (openings / np.maximum(openings.max(axis=0), 1e-6)).prod(axis=1)
    return int(rng.choice(np.flatnonzero(openness >= _WIDE * openness.max())))
