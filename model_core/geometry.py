"""Where one picture lies in another: a scale for each axis, and one point that goes to another.

Pixels are continuous here, as landmarks are: pixel i covers i to i + 1, and its middle is i + 0.5. OpenCV counts from
the middle of the first pixel instead; ``matrix`` speaks its language, and nothing else does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .types import FaceTrack

Rectangle = tuple[int, int, int, int]
"""(left, top, width, height) in whole pixels of a picture, which it may leave."""


@dataclass(frozen=True, eq=False)
class Placement:
    """Takes points and pixels of one picture into another.

    What it gives has the precision of its own numbers or of the points, whichever is finer.

    Attributes:
        scale: (3,) > 0, along x, y and depth.
        source, target: (3,) a point of the first picture, and where it goes.
        size: (H, W) of the other picture.
    """

    scale: np.ndarray
    source: np.ndarray
    target: np.ndarray
    size: tuple[int, int]

    @classmethod
    def in_place(cls, size: tuple[int, int]) -> Placement:
        """Leaves everything where it is in a picture of ``size`` (H, W)."""
        return cls(np.ones(3), np.zeros(3), np.zeros(3), size)

    @classmethod
    def of_window(cls, window: Rectangle, size: tuple[int, int] | None = None) -> Placement:
        """Shows a part of a picture at some size, or at its own; depth is scaled as x. In float32, as tracks are."""
        left, top, width, height = window
        shown = size or (height, width)
        scale = np.array([shown[1] / width, shown[0] / height, shown[1] / width], np.float32)
        return cls(scale, np.array([left, top, 0], np.float32), np.zeros(3, np.float32), shown)

    @property
    def offset(self) -> np.ndarray:
        """(3,) where the first picture's corner goes: a point p goes to ``scale * p + offset``."""
        return self.target - self.source * self.scale

    def points(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 2) or (..., 3) of the first picture in the other."""
        axes = slice(points.shape[-1])
        return self.target[axes] + (points - self.source[axes]) * self.scale[axes]

    def back(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 2) or (..., 3) of the other picture in the first one."""
        axes = slice(points.shape[-1])
        return self.source[axes] + (points - self.target[axes]) / self.scale[axes]

    def inverse(self, size: tuple[int, int]) -> Placement:
        """The way back, into the first picture, which has this size (H, W)."""
        return Placement(1.0 / self.scale, self.target, self.source, size)

    def after(self, first: Placement) -> Placement:
        """``first``, and then this."""
        return Placement(self.scale * first.scale, np.zeros(3), self.scale * first.offset + self.offset, self.size)

    def matrix(self) -> np.ndarray:
        """(2, 3) float64 for ``cv2.warpAffine``, from pixel numbers to pixel numbers."""
        made = np.zeros((2, 3))
        made[[0, 1], [0, 1]] = self.scale[:2]
        made[:, 2] = self.points(np.full(2, 0.5)) - 0.5
        return made

    def track(self, track: FaceTrack) -> FaceTrack:
        """The track in the other picture, without label maps: those are pixels."""
        corners = self.points(track.boxes.reshape(-1, 2, 2))
        return replace(
            track,
            landmarks=self.points(track.landmarks).astype(np.float32),
            boxes=corners.reshape(-1, 4).astype(np.float32),
            size=self.size,
            label_maps=None,
        )


def soft_ends(
    length: int, *, low: bool, high: bool, width: float, still: float = 0.0, dtype: type[np.floating] = np.float64
) -> np.ndarray:
    """(length,) in [0, 1], of ``dtype``: 1 inside a row of pixels, falling smoothly towards its ends.

    Args:
        low, high: whether it falls towards its first pixel, and its last.
        width: pixels over which it falls, > 0.
        still: pixels from the end up to which it is 0.
    """
    place = np.arange(length, dtype=dtype) + 0.5
    nearest = np.full(length, np.inf, dtype)
    if low:
        nearest = place
    if high:
        nearest = np.minimum(nearest, length - place)
    share = np.clip((nearest - still) / width, 0.0, 1.0)
    return np.asarray(share * share * (3.0 - 2.0 * share))
