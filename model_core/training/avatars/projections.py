"""How a frame shows an avatar's layers (see correspondence.py beside this folder): their true motion."""

from __future__ import annotations

import numpy as np

from .geometry import frame_centre
from .identity import Identity
from .motion import Motion


def body_shift(motion: Motion) -> tuple[float, float]:
    """How far the body follows the head, as shares of the frame, right and down."""
    return 0.45 * motion.x, 0.5 * motion.y


def projections(identity: Identity, motion: Motion) -> np.ndarray:
    """How a frame shows the layers HEAD and BODY: head space, and the frame with the body at rest.

    Returns:
        (2, 2, 4) float32: for each layer, the matrix from its space (x, y, z, 1; the body's is in shares of the
            frame) to x and y in [-1, 1] of the frame.
    """
    made = np.zeros((2, 2, 4), np.float32)
    made[0, :, :3] = 2 * identity.shape.scale * motion.rotation()[:2]
    made[0, :, 3] = 2 * np.array(frame_centre(motion)) - 1
    made[1, :, :2] = 2 * np.eye(2)
    made[1, :, 3] = 2 * np.array(body_shift(motion)) - 1
    return made
