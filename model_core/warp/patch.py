"""A part of the portrait that is seen through an opening, continued beyond its edge: eyes between lids, teeth."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from .resampling import Resampler

_SHIFT = 4
_SOFT = 0.6  # pixels, standard deviation of the opening's edge
_INPAINT = 3.0
_THIN = 0.5  # pixels: up to that an opening shows nothing, from twice that on all


@dataclass(frozen=True)
class Box:
    """A part of some frames and how much of each of its pixels an opening covers, (F, h, w) float32 in [0, 1]."""

    left: int
    top: int
    cover: Tensor

    def places(self) -> tuple[Tensor, Tensor]:
        """x (w,) and y (h, 1) of its pixels' centres, in continuous pixels of the frame."""
        height, width = self.cover.shape[1:]
        x, y = (torch.arange(length, device=self.cover.device) + 0.5 for length in (width, height))
        return x + self.left, (y + self.top)[:, None]

    def of(self, frames: Tensor) -> Tensor:
        """What frames (F, H, W, ...) show there."""
        height, width = self.cover.shape[1:]
        return frames[:, self.top : self.top + height, self.left : self.left + width]


def fill_polygons(shape: tuple[int, ...], outlines: np.ndarray, device: torch.device) -> Box | None:
    """The part of frames (F, H, W, ...) that outlines (F, N, 2) cover; None where that is nothing."""
    low = np.maximum(np.floor(outlines.min(axis=(0, 1))).astype(int) - 3, 0)
    high = np.minimum(np.ceil(outlines.max(axis=(0, 1))).astype(int) + 4, (shape[2], shape[1]))
    if (high - low).min() < 2:
        return None
    covers = [_fill(outline - low, (high[1] - low[1], high[0] - low[0])) for outline in outlines]
    return Box(int(low[0]), int(low[1]), torch.from_numpy(np.stack(covers)).to(device))


def _fill(outline: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(h, w) float32, how much an outline (N, 2) covers."""
    mask = np.zeros(size, np.uint8)
    cv2.fillPoly(mask, [np.rint((outline - 0.5) * 16).astype(np.int32)], (255,), cv2.LINE_AA, _SHIFT)
    # an opening thinner than a pixel is shut, though its outline would be drawn
    around = outline.astype(np.float32)
    thickness = 2 * cv2.contourArea(around) / max(cv2.arcLength(around, closed=True), 1e-6)
    share = np.float32(np.clip(thickness / _THIN - 1, 0, 1) / 255)
    return np.asarray(cv2.GaussianBlur(mask.astype(np.float32) * share, (0, 0), _SOFT))


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

    def paint(self, canvas: Canvas, box: Box, x: Tensor, y: Tensor) -> None:
        """Show it through the opening of ``box``, in place.

        Args:
            x, y: (F, h, w) where the box's pixels lie in the portrait.
        """
        by, (left, top) = canvas.by, self.origin.tolist()
        x, y = x - (left + 0.5), y - (top + 0.5)
        blend(box.of(canvas.frames), by.remap(on(self.pixels, by.device), x, y, smooth=True), box.cover)
        if canvas.validity is not None:
            known = by.remap(on(self.known, by.device), x, y, smooth=False)
            blend(box.of(canvas.validity), known, box.cover)


@dataclass(frozen=True)
class Canvas:
    """Frames that are painted in place, all on one device.

    Attributes:
        frames: (F, H, W, 3) uint8.
        validity: (F, H, W) float32, or None where nobody asks.
        by: what samples there.
    """

    frames: Tensor
    validity: Tensor | None
    by: Resampler


def on(values: np.ndarray, device: torch.device) -> Tensor:
    """An array on a device; float64, which not every device has, as float32."""
    return torch.from_numpy(values.astype(np.float32) if values.dtype == np.float64 else values).to(device)


def blend(under: Tensor, over: Tensor, cover: Tensor) -> None:
    """Lay ``over`` on ``under`` (F, h, w, ...) in place, as much as ``cover`` (F, h, w) says."""
    weight = cover[..., None] if under.ndim == 4 else cover
    base = under.float()
    mixed = base + (over - base) * weight
    under.copy_(mixed.round_().clamp_(0, 255) if under.dtype == torch.uint8 else mixed)


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
