"""Calm landmarks that tremble: the One-Euro filter.

Still parts of a face jitter by 0.1 to 0.4 % of the distance between the eyes. A low-pass whose cutoff rises with
the speed removes that and lets fast motion (a blink, a word) pass.
Source: Casiez, Roussel and Vogel, "1 Euro Filter", CHI 2012, equations 1 to 7.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..errors import InputError
from ..types import FaceTrack

_POINTS_AT_ONCE = 32
"""Landmarks are filtered by themselves, so a long clip's need not be in double precision all at once."""


def one_euro(
    values: np.ndarray,
    *,
    fps: float = 25.0,
    min_cutoff: float = 1.5,
    beta: float = 8.0,
    derivative_cutoff: float = 3.0,
    zero_phase: bool = True,
) -> np.ndarray:
    """Filter every coordinate along the first axis.

    Args:
        values: (F, ...), evenly spaced in time.
        fps: frames per second.
        min_cutoff: in Hz, of values at rest; lower calms more.
        beta: Hz per unit of speed (units of ``values`` a second); higher follows fast motion more closely.
        derivative_cutoff: in Hz, of the speed itself.
        zero_phase: average the filter run forward and backward in time, whose lags cancel. False is the causal
            filter of the paper, for live input.
    Returns:
        float64 of the same shape; a constant or a single frame comes back as it is.
    Raises:
        InputError: a rate or cutoff is not positive, or beta is negative.
    """
    if not (fps > 0 and min_cutoff > 0 and derivative_cutoff > 0 and beta >= 0):
        raise InputError(
            f"smoothing: fps {fps}, min_cutoff {min_cutoff} and derivative_cutoff {derivative_cutoff} "
            f"must be above 0, beta {beta} at least 0"
        )
    values = np.asarray(values, dtype=np.float64)
    forward = _causal(values, fps, min_cutoff, beta, derivative_cutoff)
    if not zero_phase:
        return forward
    backward = _causal(values[::-1], fps, min_cutoff, beta, derivative_cutoff)[::-1]
    return (forward + backward) / 2.0


def smooth_track(
    track: FaceTrack,
    *,
    fps: float = 25.0,
    min_cutoff: float = 1.5,
    beta: float = 8.0,
    zero_phase: bool = True,
) -> FaceTrack:
    """The track with landmarks, boxes, blendshapes and poses filtered; the settings of ``one_euro``.

    Speeds are measured in sizes of the face (the side of its median box), so that the same settings serve
    every resolution; blendshapes and poses (radians) are filtered as they are. Label maps stay as they were parsed.
    """
    sides = np.sqrt(np.maximum(np.prod(track.boxes[:, 2:] - track.boxes[:, :2], axis=1), 1e-6))
    unit = float(np.median(sides))
    landmarks = np.empty_like(track.landmarks, dtype=np.float32)
    for point in range(0, landmarks.shape[1], _POINTS_AT_ONCE):
        part = np.s_[:, point : point + _POINTS_AT_ONCE]
        made = one_euro(track.landmarks[part] / unit, fps=fps, min_cutoff=min_cutoff, beta=beta, zero_phase=zero_phase)
        landmarks[part] = made * unit
    boxes = one_euro(track.boxes / unit, fps=fps, min_cutoff=min_cutoff, beta=beta, zero_phase=zero_phase) * unit

    def calmed(values: np.ndarray | None) -> np.ndarray | None:
        if values is None:
            return None
        made = one_euro(values, fps=fps, min_cutoff=min_cutoff, beta=beta, zero_phase=zero_phase)
        return made.astype(np.float32)

    return replace(
        track,
        landmarks=landmarks,
        boxes=boxes.astype(np.float32),
        blendshapes=calmed(track.blendshapes),
        poses=calmed(track.poses),
    )


def _causal(values: np.ndarray, fps: float, min_cutoff: float, beta: float, derivative_cutoff: float) -> np.ndarray:
    smoothed = values.copy()
    if len(values) == 0:
        return smoothed
    speed = np.zeros_like(values[0])
    for frame in range(1, len(values)):
        moved = (values[frame] - values[frame - 1]) * fps
        speed = speed + _weight(derivative_cutoff, fps) * (moved - speed)
        weight = _weight(min_cutoff + beta * np.abs(speed), fps)
        smoothed[frame] = smoothed[frame - 1] + weight * (values[frame] - smoothed[frame - 1])
    return smoothed


def _weight(cutoff: float | np.ndarray, fps: float) -> np.ndarray:
    """Of the new value in exponential smoothing with a cutoff in Hz (equation 3 of the paper)."""
    step = 2.0 * np.pi * np.asarray(cutoff) / fps
    return step / (step + 1.0)
