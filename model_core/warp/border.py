"""The frame's border: what lies beyond the picture is unknown, so the picture's edge stays at the frame's edge."""

from __future__ import annotations

import numpy as np

_REACH = 2.0
"""Over how many displacements the motion fades towards the border; 2 enlarges what is there at most twice."""


def keep_at_border(source: np.ndarray, size: tuple[int, int], *, step: float, free: np.ndarray) -> np.ndarray:
    """A flow that draws nothing from beyond the picture where that can be helped.

    When a head moves down, what is above it would show the picture's first row, repeated. Instead the motion fades
    towards the border that it leaves: a hat that the frame cuts off is stretched a little and stays cut off there.

    Args:
        source: (h, w, 2) float32, continuous pixels of the picture.
        size: (H, W) of the picture and of the frame.
        step: pixels from one grid point to the next.
        free: (h, w) bool, where the flow may change: around the face, not in it.
    """
    made = source.copy()
    for axis, length in ((0, size[1]), (1, size[0])):
        count = source.shape[1 - axis]
        place = ((np.arange(count, dtype=np.float32) + 0.5) * step).reshape((1, -1) if axis == 0 else (-1, 1))
        way = source[..., axis] - place
        room = np.where(way < 0, place, length - place)  # to the border that the way leads to
        share = np.minimum(1.0, room / np.maximum(_REACH * np.abs(way), 1e-6))
        made[..., axis] = np.where(free, place + way * share, source[..., axis])
    return made
