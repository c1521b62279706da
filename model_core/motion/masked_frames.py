"""The motion signal of Stable Video-Driven Portraits: driving frames, all but eyes, nose and mouth masked.

It carries what a drawing cannot (gaze, wrinkled lips, teeth, tongue) and little of the driver's appearance.
How far the regions reach beyond the features is not stated; here it is a share of the distance
between the eyes, so that the picture does not depend on the resolution.
"""

from __future__ import annotations

from collections.abc import Collection

import cv2
import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..geometry import Placement
from ..types import Component, FaceTrack, MotionSignal
from .alignment import warp
from .components import CORNERS, OTHER_SIDE, OUTER_MOUTH, RINGS, visible_side
from .parsing_map import place_landmarks

REGIONS = (Component.LEFT_EYE, Component.RIGHT_EYE, Component.NOSE, Component.INNER_MOUTH)
BROWS = (Component.LEFT_BROW, Component.RIGHT_BROW)


def masked_frames_signal(
    frames: Tensor,
    track: FaceTrack,
    *,
    size: tuple[int, int],
    place: Placement | None = None,
    grow: float = 0.12,
    feather: float = 0.04,
    brows: bool = False,
) -> MotionSignal:
    """Mask the driving frames, and lay them where the reference's face is.

    Args:
        frames: (F, 3, H, W) in [-1, 1].
        track: the face in these frames, in their pixels.
        size: (H, W) of the signal.
        place: where the frames lie in the reference image (``alignment.placement``), pixels and landmarks
            alike; None leaves them where they are, stretched to ``size``.
        grow, feather, brows: see ``region_mask``.
    Returns:
        (F, 3, H, W) in [0, 1]; 0 is masked.
    Raises:
        InputError: frames and track do not belong together, or a pixel is not finite.
    """
    if len(frames) != len(track) or tuple(frames.shape[-2:]) != tuple(track.size):
        raise InputError(
            f"driving: {len(frames)} frames of {tuple(frames.shape[-2:])}, but a face track of {len(track)} "
            f"frames of {tuple(track.size)}; analyse the very frames that drive"
        )
    if not torch.isfinite(frames).all():
        raise InputError("driving: NaN or infinite pixels; check how the frames were made")
    place = place or Placement.in_place(track.size)
    placed = place.track(track)
    # to [0, 1] before: what lies beyond the frame has to be black
    signal = warp((frames + 1.0) / 2.0, place, size=size).clamp(0.0, 1.0)
    for frame, landmarks in zip(signal, placed.landmarks, strict=True):
        mask = region_mask(landmarks, source_size=placed.size, size=size, grow=grow, feather=feather, brows=brows)
        frame *= torch.from_numpy(mask).to(frame)
    return MotionSignal("masked_frames", signal)


def region_mask(
    landmarks: np.ndarray,
    *,
    source_size: tuple[int, int],
    size: tuple[int, int],
    grow: float = 0.12,
    feather: float = 0.04,
    brows: bool = False,
    regions: Collection[Component] = REGIONS,
) -> np.ndarray:
    """Where eyes, nose and mouth are.

    Args:
        landmarks: (478, >=2) x, y in pixels of the source frame.
        source_size, size: (H, W) of the source frame and of the mask.
        grow: how far a region reaches beyond its outline, as a share of the distance between the eyes.
        feather: width (standard deviation) of the soft edge, in the same unit; 0 for a hard edge.
        brows: whether the brows show too; the paper masks them.
        regions: what shows; to leave some of ``REGIONS`` out.
    Returns:
        (H, W) float32 in [0, 1]. An eye that a profile turns out of sight is left out.
    """
    points = place_landmarks(landmarks, source_size=source_size, size=size)
    mask: np.ndarray = np.zeros(size, dtype=np.uint8)
    for component in (*regions, *(BROWS if brows else ())):
        if component in OTHER_SIDE and not visible_side(points, component):
            continue
        ring = OUTER_MOUTH if component is Component.INNER_MOUTH else RINGS[component]
        outline = np.clip(points[ring] - 0.5, -(2**20), 2**20)
        cv2.fillPoly(mask, [np.rint(outline * 16).astype(np.int32)], (255,), cv2.LINE_8, 4)
    unit = _eye_distance(points)
    radius = round(grow * unit)
    if radius > 0:
        mask = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2))
    soft: np.ndarray = mask.astype(np.float32) / 255.0
    if feather * unit > 0.1:
        soft = cv2.GaussianBlur(soft, (0, 0), feather * unit)
    return soft


def _eye_distance(points: np.ndarray) -> float:
    """Between the middles of both eyes; in profile, where that vanishes, judged by the face's height."""
    left, right = (points[list(CORNERS[eye])].mean(axis=0) for eye in (Component.LEFT_EYE, Component.RIGHT_EYE))
    face = points[RINGS[Component.FACE]]
    return float(max(np.linalg.norm(left - right), 0.35 * np.ptp(face[:, 1])))
