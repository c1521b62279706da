"""Where the driving motion acts in the portrait: the driving face's place and size rarely are the portrait's.

``absolute`` leaves the driving face where it is in its frame. ``relative`` moves and scales the whole driving
track by one similarity, so that the driver at rest has the portrait's own place and size; every movement away
from rest is then carried over in the portrait's scale. As one similarity serves the whole clip, a driver who
sits nearer to the camera, or in a corner, cannot pull the portrait's face larger, smaller or aside.
Proportions and head rotation stay the driver's (random_scaling.py teaches a model to disregard the former).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from ..errors import InputError
from ..geometry import Placement
from ..types import Component, FaceTrack
from .components import CORNERS

Alignment = Literal["absolute", "relative"]

_LEFT_EYE = np.array(CORNERS[Component.LEFT_EYE])
_RIGHT_EYE = np.array(CORNERS[Component.RIGHT_EYE])
_NOSE_BASE = 2
_LIPS = (13, 14)


def warp(frames: Tensor, place: Placement, *, size: tuple[int, int]) -> Tensor:
    """Driving frames as they lie in the reference image, which is stretched to ``size``.

    Args:
        frames: (F, C, H, W) of the driving video.
        place: from the driving frames to the reference image.
        size: (H, W) of the result.
    Returns:
        (F, C, *size), 0 beyond the driving frame. Bilinear; antialiased where it shrinks.
    """
    source_size = np.array(frames.shape[-2:], dtype=np.float64)
    stretch = np.array(size, dtype=np.float64) / np.array(place.size, dtype=np.float64)
    shrunk = np.minimum(np.round(source_size * np.minimum(place.scale[1::-1] * stretch, 1.0)), source_size)
    height, width = (max(int(side), 1) for side in shrunk)
    y, x = ((np.arange(side) + 0.5) / by for side, by in zip(size, stretch, strict=True))
    seen = place.back(np.stack(np.meshgrid(x, y), axis=-1))
    grid = torch.from_numpy(2.0 * seen / source_size[::-1] - 1.0)[None].to(frames.device, torch.float32)
    made = frames.new_empty((*frames.shape[:2], *size), dtype=torch.float32)
    for number, frame in enumerate(frames.float()):  # one at a time: a long clip's copies would fill the memory
        small = frame[None]
        if (height, width) != tuple(frames.shape[-2:]):
            small = interpolate(small, (height, width), mode="bilinear", align_corners=False, antialias=True)
        made[number] = grid_sample(small, grid, align_corners=False)[0]
    return made


def placement(
    driving: FaceTrack,
    reference: FaceTrack,
    *,
    mode: Alignment = "relative",
    driving_rest_frame: int | Literal["frontal"] = 0,
) -> Placement:
    """Where the driving frames lie in the reference image.

    Args:
        driving: F frames in the driving video's pixels.
        reference: the portrait's face, one frame.
        mode: "absolute": the driving frame is laid over the reference image, centre on centre, just large
            enough to cover it. "relative": see above.
        driving_rest_frame: the frame in which the driver is taken to look as the portrait does; negative
            counts from the end. "frontal" takes the most frontal and neutral one (``rest_frame``). Only for
            "relative".
    Raises:
        InputError: unknown mode, no such frame, a reference of several frames, or a face without extent.
    """
    if len(reference) != 1:
        raise InputError(f"reference: a face track of {len(reference)} frames; take one, such as track.take([0])")
    if mode == "absolute":
        scale = max(reference.size[0] / driving.size[0], reference.size[1] / driving.size[1])
        source = np.array([driving.size[1] / 2, driving.size[0] / 2, 0.0])
        target = np.array([reference.size[1] / 2, reference.size[0] / 2, 0.0])
        return Placement(np.full(3, scale), source, target, reference.size)
    if mode != "relative":
        raise InputError(f"alignment: unknown mode {mode!r}; choose 'relative' or 'absolute'")
    rest = resting_landmarks(driving, driving_rest_frame)
    return face_similarity(rest, reference.landmarks[0], size=reference.size)


def face_similarity(rest: np.ndarray, portrait: np.ndarray, *, size: tuple[int, int]) -> Placement:
    """What gives the driver at rest the portrait's place and size: relative alignment.

    Args:
        rest, portrait: (478, 3) in pixels of their images.
        size: (H, W) of the portrait's image.
    Raises:
        InputError: a face without extent.
    """
    rest, portrait = rest.astype(np.float64), portrait.astype(np.float64)
    extent, wanted = face_size(rest), face_size(portrait)
    if not (extent > 0 and wanted > 0):
        raise InputError("driving or reference: the face has no extent; analyse it again")
    return Placement(np.full(3, wanted / extent), face_centre(rest), face_centre(portrait), size)


def face_size(landmarks: np.ndarray) -> float:
    """A size that expressions leave alone, measured in three dimensions so that turning hardly changes it.

    The geometric mean of two distances: between the eyes, and from their middle to the base of the nose.

    Args:
        landmarks: (478, 3).
    """
    return float(face_sizes(landmarks))


def face_sizes(landmarks: np.ndarray) -> np.ndarray:
    """``face_size`` of each of many faces: (..., 478, 3) to (...)."""
    left, right = (landmarks[..., eye, :].mean(axis=-2) for eye in (_LEFT_EYE, _RIGHT_EYE))
    across = np.linalg.norm(left - right, axis=-1)
    down = np.linalg.norm(landmarks[..., _NOSE_BASE, :] - (left + right) / 2, axis=-1)
    return np.asarray(np.sqrt(across * down))


def face_centre(landmarks: np.ndarray) -> np.ndarray:
    """The middle between the eyes and the base of the nose, (..., 3): no blink, word or smile moves it.

    Args:
        landmarks: (..., 478, 3).
    """
    eyes = landmarks[..., np.concatenate([_LEFT_EYE, _RIGHT_EYE]), :].mean(axis=-2)
    return np.asarray((eyes + landmarks[..., _NOSE_BASE, :]) / 2)


def rest_frame(track: FaceTrack) -> int:
    """The frame that looks most straight ahead, with level head, mouth closed and eyes open.

    Filled-in frames are passed over unless there is no other. The first of equal frames wins.
    """
    points = track.landmarks[..., :2].astype(np.float64)
    left, right = points[:, _LEFT_EYE].mean(axis=1), points[:, _RIGHT_EYE].mean(axis=1)
    middle, way = (left + right) / 2, left - right
    unit = np.maximum(np.linalg.norm(way, axis=1), 1e-6)
    nose = points[:, _NOSE_BASE] - middle
    turned = np.abs((nose * way).sum(axis=1)) / unit**2
    level = np.abs(np.arctan2(way[:, 1], way[:, 0]))
    height = np.linalg.norm(nose, axis=1) / unit
    nodded = np.abs(height - np.median(height))
    open_mouth = np.linalg.norm(points[:, _LIPS[0]] - points[:, _LIPS[1]], axis=1) / unit
    apertures = np.linalg.norm(points[:, [386, 159]] - points[:, [374, 145]], axis=-1).mean(axis=1) / unit
    closed_eyes = np.maximum(np.median(apertures) - apertures, 0)
    score = turned + level + nodded + open_mouth + 2 * closed_eyes
    if track.detected.any():
        score = np.where(track.detected, score, np.inf)
    return int(np.argmin(score))


def resting_landmarks(driving: FaceTrack, frame: int | Literal["frontal"]) -> np.ndarray:
    """(478, 3) float64 of the frame in which the driver is taken to look as the portrait does; see ``placement``."""
    index = rest_frame(driving) if frame == "frontal" else frame
    if not -len(driving) <= index < len(driving):
        raise InputError(f"driving: rest frame {index} of a clip of {len(driving)} frames; choose an earlier one")
    return driving.landmarks[index].astype(np.float64)
