"""Where the places of one frame lie in any other frame of a clip: exact optical flow for training.

Every pixel remembers which layer it shows and the point of that layer's own space; every frame knows how it
projects those spaces. A pixel's place in another frame is that frame's projection of its point.
"""

from __future__ import annotations

import numpy as np

BACKGROUND, HEAD, BODY = 0, 1, 2
"""Layers of a clip's ``layers``; ``projections`` has a matrix for each but the background, which stays."""


def true_flow(surface: np.ndarray, layers: np.ndarray, target: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Where the places of a target frame lie in the reference frame, relative to their own place.

    Args:
        surface: (h, w, 3), the target's points in the spaces of their layers.
        layers: (h, w) of the target.
        target, reference: (2, 2, 4), the projections of the two frames: for HEAD and BODY, the matrix from
            (x, y, z, 1) to x and y in [-1, 1] of the frame.
    Returns:
        (2, h, w) float32, x and y to add, in half frames; 0 on the background.
    """
    points = np.concatenate([surface.astype(np.float32), np.ones((*layers.shape, 1), np.float32)], axis=-1)
    change = (reference - target)[np.maximum(layers, 1) - 1]
    flow = np.einsum("hwij,hwj->ihw", change, points)
    return np.asarray(flow * (layers != BACKGROUND), np.float32)
