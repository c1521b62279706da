"""A part of the portrait that is seen through an opening, continued beyond its edge: eyes between lids, teeth."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

_SHIFT = 4
_SOFT = 0.6  # pixels, standard deviation of the opening's edge
_INPAINT = 3.0


@dataclass(frozen=True)
class Box:
    """A part of the frame and how much of each of its pixels an opening covers, (h, w) float32 in [0, 1]."""

    left: int
    top: int
    cover: np.ndarray

    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """x (1, w) and y (h, 1) of its pixels' centres, in continuous pixels of the frame."""
        height, width = self.cover.shape
        return (self.left + 0.5 + np.arange(width))[None], (self.top + 0.5 + np.arange(height))[:, None]

    @property
    def part(self) -> tuple[slice, slice]:
        height, width = self.cover.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


def fill_polygon(shape: tuple[int, ...], outline: np.ndarray) -> Box | None:
    """The part of a frame (H, W, ...) that an outline (N, 2) covers; None where that is nothing."""
    low = np.maximum(np.floor(outline.min(axis=0)).astype(int) - 3, 0)
    high = np.minimum(np.ceil(outline.max(axis=0)).astype(int) + 4, (shape[1], shape[0]))
    if (high - low).min() < 2:
        return None
    mask = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
    cv2.fillPoly(mask, [np.rint((outline - 0.5 - low) * 16).astype(np.int32)], (255,), cv2.LINE_AA, _SHIFT)
    cover = cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), _SOFT)
    return Box(int(low[0]), int(low[1]), cover)


@dataclass(frozen=True)
class Patch:
    """What is seen through an opening of the portrait.

    Attributes:
        pixels: (h, w, 3) uint8, continued beyond the opening's edge.
        known: (h, w) float32, 1 where they are the portrait's own.
        origin: (2,) x and y of its first pixel's corner in the portrait.
    """

    pixels: np.ndarray
    known: np.ndarray
    origin: np.ndarray

    def paint(self, frame: np.ndarray, validity: np.ndarray, box: Box, x: np.ndarray, y: np.ndarray) -> None:
        """Show it through the opening of ``box``, in place.

        Args:
            frame: (H, W, 3) uint8.
            validity: (H, W) float32.
            x, y: (h, w) where the box's pixels lie in the portrait.
        """
        at_x = (x - self.origin[0] - 0.5).astype(np.float32)
        at_y = (y - self.origin[1] - 0.5).astype(np.float32)
        seen = cv2.remap(self.pixels, at_x, at_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        known = cv2.remap(self.known, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        blend(frame[box.part], seen, box.cover)
        blend(validity[box.part], known, box.cover)


def blend(under: np.ndarray, over: np.ndarray, cover: np.ndarray) -> None:
    """Lay ``over`` on ``under`` in place, as much as ``cover`` (h, w) says."""
    weight = cover[..., None] if under.ndim == 3 else cover
    mixed = under + (over - under.astype(np.float32)) * weight
    under[:] = np.rint(mixed).clip(0, 255) if under.dtype == np.uint8 else mixed


def cut_patch(image: np.ndarray, outline: np.ndarray, *, margin: float) -> Patch | None:
    """What an outline (N, 2) encloses, continued by ``margin`` pixels; None where it encloses nothing."""
    low = np.maximum(np.floor(outline.min(axis=0) - margin).astype(int), 0)
    high = np.minimum(np.ceil(outline.max(axis=0) + margin).astype(int), image.shape[1::-1])
    if (high - low).min() < 3:
        return None
    part = np.ascontiguousarray(image[low[1] : high[1], low[0] : high[0]])
    inside: np.ndarray = np.zeros(part.shape[:2], np.uint8)
    cv2.fillPoly(inside, [np.rint((outline - 0.5 - low) * 16).astype(np.int32)], (255,), cv2.LINE_8, _SHIFT)
    if min(inside.shape) > 24:  # the outline itself is lash and lip
        inside = cv2.erode(inside, np.ones((3, 3), np.uint8))
    if cv2.countNonZero(inside) < 4:
        return None
    pixels = cv2.inpaint(part, 255 - inside, _INPAINT, cv2.INPAINT_TELEA)
    return Patch(pixels, inside.astype(np.float32) / 255, low.astype(np.float64))
