"""Pixels of one face carried onto another face's landmarks: driving frames and label maps, laid where the portrait is."""

from __future__ import annotations

import cv2
import numpy as np

from .head import HEAD_TRIANGLES, RING_TRIANGLES, with_rings
from .mesh import mesh_flow


def carry_pixels(
    frames: np.ndarray,
    source: np.ndarray,
    target: np.ndarray,
    *,
    size: tuple[int, int],
    labels: bool = False,
) -> np.ndarray:
    """Move the face in every frame to other landmarks.

    Args:
        frames: (F, H, W, C) or (F, H, W), uint8 or float32.
        source: (F, 478, 3), the face in these frames, in their pixels.
        target: (F, 478, 3), where it goes, in pixels of the result.
        size: (h, w) of the result.
        labels: take the nearest pixel instead of mixing four.
    Returns:
        (F, h, w, C) or (F, h, w) of the same type; 0 where no pixel of the frame belongs.
    """
    made = np.zeros((len(frames), *size, *frames.shape[3:]), frames.dtype)
    how = cv2.INTER_NEAREST if labels else cv2.INTER_LINEAR
    for number, (frame, here, there) in enumerate(zip(frames, source, target, strict=True)):
        flow = mesh_flow(
            with_rings(there.astype(np.float64)),
            with_rings(here.astype(np.float64)),
            HEAD_TRIANGLES,
            size=size,
            two_sided=len(RING_TRIANGLES),
        )
        at_x, at_y = (flow.source[..., axis] - np.float32(0.5) for axis in (0, 1))
        moved = cv2.remap(frame, at_x, at_y, how, borderMode=cv2.BORDER_CONSTANT)
        moved[flow.triangle < 0] = 0
        made[number] = moved
    return made
