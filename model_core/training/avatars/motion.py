"""What an avatar does: head pose, gaze, lids, brows and mouth, apart from who it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator


@dataclass(frozen=True, kw_only=True)
class Motion:
    """One frame's motion.

    Attributes:
        yaw, pitch, roll: radians; positive yaw turns to the viewer's right, positive roll is clockwise.
        x, y: translation of the head as a share of the frame, right and down.
        gaze_x, gaze_y: in [-1, 1], right and down.
        blink_left, blink_right: 0 open to 1 closed; the person's own sides, as everywhere.
        brow_left, brow_right: -1 lowered to 1 raised.
        jaw: 0 closed to 1 open.
        smile: -1 (corners down) to 1.
        pucker: 0 to 1.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    x: float = 0.0
    y: float = 0.0
    gaze_x: float = 0.0
    gaze_y: float = 0.0
    blink_left: float = 0.0
    blink_right: float = 0.0
    brow_left: float = 0.0
    brow_right: float = 0.0
    jaw: float = 0.0
    smile: float = 0.0
    pucker: float = 0.0

    def rotation(self) -> np.ndarray:
        """(3, 3) float32 from head space (x right, y down, z to the viewer) to view space."""
        cos_y, sin_y = np.cos(self.yaw), np.sin(self.yaw)
        cos_p, sin_p = np.cos(self.pitch), np.sin(self.pitch)
        cos_r, sin_r = np.cos(self.roll), np.sin(self.roll)
        turn = np.array([[cos_y, 0, sin_y], [0, 1, 0], [-sin_y, 0, cos_y]])
        nod = np.array([[1, 0, 0], [0, cos_p, sin_p], [0, -sin_p, cos_p]])
        tilt = np.array([[cos_r, -sin_r, 0], [sin_r, cos_r, 0], [0, 0, 1]])
        return (tilt @ nod @ turn).astype(np.float32)


def smooth_curve(rng: Generator, num_frames: int, knots: int) -> np.ndarray:
    """A smooth random curve of about unit deviation: a uniform cubic B-spline through random knots."""
    points = rng.normal(0, 1, knots + 3)
    time = np.linspace(0, knots - 0.001, num_frames)
    index = time.astype(int)
    f = time - index
    weights = ((1 - f) ** 3, 3 * f**3 - 6 * f**2 + 4, -3 * f**3 + 3 * f**2 + 3 * f + 1, f**3)
    return np.asarray(1.35 / 6 * sum(w * points[index + k] for k, w in enumerate(weights)))


def _blinks(rng: Generator, num_frames: int, curve: Callable[[float, int], np.ndarray], knots: int) -> np.ndarray:
    """Slightly lowered lids with short full blinks."""
    lids = np.clip(curve(0.16, knots), 0, 0.5)
    for _ in range(rng.integers(0, 2 + num_frames // 10)):
        moment = rng.uniform(0, num_frames)
        lids = np.maximum(lids, np.exp(-(((np.arange(num_frames) - moment) / 1.2) ** 2)))
    return lids


def sample_clip(rng: Generator, num_frames: int) -> list[Motion]:
    """A smooth performance of ``num_frames`` frames, lively enough that its frames differ clearly."""

    def curve(amplitude: float, knots: int, offset: float = 0.0) -> np.ndarray:
        return offset + amplitude * smooth_curve(rng, num_frames, knots)

    knots = max(2, num_frames // 5)
    channels = {
        "yaw": np.clip(curve(0.33, knots, rng.normal(0, 0.12)), -0.62, 0.62),
        "pitch": np.clip(curve(0.18, knots, rng.normal(0, 0.06)), -0.36, 0.36),
        "roll": np.clip(curve(0.17, knots), -0.38, 0.38),
        "x": np.clip(curve(0.045, knots, rng.normal(0, 0.02)), -0.09, 0.09),
        "y": np.clip(curve(0.03, knots, rng.normal(0, 0.015)), -0.07, 0.07),
        "gaze_x": np.clip(curve(0.75, knots + 1), -1, 1),
        "gaze_y": np.clip(curve(0.5, knots + 1), -1, 1),
    }
    lids = _blinks(rng, num_frames, curve, knots)
    channels["blink_left"] = channels["blink_right"] = lids
    if rng.random() < 0.15:  # a wink
        side = "blink_left" if rng.random() < 0.5 else "blink_right"
        channels[side] = np.clip(lids + np.clip(curve(1, knots), 0, 1), 0, 1)
    brows = curve(0.6, knots)
    channels["brow_left"] = np.clip(brows + curve(0.2, knots), -1, 1)
    channels["brow_right"] = np.clip(brows + curve(0.2, knots), -1, 1)
    talking = rng.random() < 0.6
    channels["jaw"] = np.clip(curve(0.5, knots + 3 if talking else knots, 0.22), 0, 1)
    channels["smile"] = np.clip(curve(0.7, knots, 0.1), -1, 1)
    channels["pucker"] = np.clip(curve(0.5, knots, -0.05), 0, 1)
    return [Motion(**{name: float(v[t]) for name, v in channels.items()}) for t in range(num_frames)]
