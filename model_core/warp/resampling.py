"""Pixels sampled between pixels: by OpenCV on a processor, by torch on a GPU, frames alike within rounding.

Both sample smoothly (bicubic) where that is asked for, else bilinearly, repeat the picture's edge beyond it, and count
places from the first pixel's centre. OpenCV before 5 knows 32 places between two pixels; torch, and OpenCV since, all.
"""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_PIXELS_AT_ONCE = 2**22


class Resampler(Protocol):
    """What carrying asks of a device. Pictures are uint8 or float32, their results of the same type."""

    device: torch.device

    def frames_at_once(self, size: tuple[int, int]) -> int:
        """How many frames (H, W) are best done together."""
        ...

    def remap(self, picture: Tensor, x: Tensor, y: Tensor, *, smooth: bool) -> Tensor:
        """A picture (h, w, ...) at places x and y (F, H, W): (F, H, W, ...)."""
        ...

    def enlarge(
        self, pictures: Tensor, scale: np.ndarray, offset: np.ndarray, size: tuple[int, int], *, smooth: bool
    ) -> Tensor:
        """Pictures (F, h, w, ...) of which pixel p of a frame shows the place ``p * scale + offset``, both (x, y)."""
        ...

    def over(self, upper: Tensor, lower: Tensor, cover: Tensor) -> Tensor:
        """(F, H, W, 3) uint8 over (H, W, 3), as much as ``cover`` (F, H, W) in [0, 1] says."""
        ...


def resampler_for(device: torch.device | str) -> Resampler:
    """The only place that chooses: torch on a GPU that it can sample on, else OpenCV, which lies on the processor."""
    device = torch.device(device)
    return TorchResampler(device) if device.type != "cpu" and _can_sample(device) else OpenCVResampler()


def _can_sample(device: torch.device) -> bool:
    """Whether this torch samples smoothly with repeated edges there: on Apple's GPUs older ones do not."""
    try:
        _sample(torch.zeros((1, 4, 4), device=device), *torch.zeros((2, 1, 1), device=device), smooth=True)
    except RuntimeError:
        return False
    return True


class OpenCVResampler:
    """Frame by frame, each small enough for the processor's cache."""

    device = torch.device("cpu")

    def frames_at_once(self, size: tuple[int, int]) -> int:
        return 1

    def remap(self, picture: Tensor, x: Tensor, y: Tensor, *, smooth: bool) -> Tensor:
        made = torch.empty((*x.shape, *picture.shape[2:]), dtype=picture.dtype)
        how = cv2.INTER_CUBIC if smooth else cv2.INTER_LINEAR
        for at_x, at_y, frame in zip(x.numpy(), y.numpy(), made.numpy(), strict=True):
            cv2.remap(picture.numpy(), at_x, at_y, how, frame, borderMode=cv2.BORDER_REPLICATE)
        return made

    def enlarge(
        self, pictures: Tensor, scale: np.ndarray, offset: np.ndarray, size: tuple[int, int], *, smooth: bool
    ) -> Tensor:
        made = torch.empty((len(pictures), *size, *pictures.shape[3:]), dtype=pictures.dtype)
        matrix = np.array([[scale[0], 0, offset[0]], [0, scale[1], offset[1]]])
        how = (cv2.INTER_CUBIC if smooth else cv2.INTER_LINEAR) | cv2.WARP_INVERSE_MAP
        for picture, frame in zip(pictures.numpy(), made.numpy(), strict=True):
            cv2.warpAffine(picture, matrix, size[::-1], frame, how, cv2.BORDER_REPLICATE)
        return made

    def over(self, upper: Tensor, lower: Tensor, cover: Tensor) -> Tensor:
        made = torch.empty_like(upper)
        for above, share, frame in zip(upper.numpy(), cover.numpy(), made.numpy(), strict=True):
            cv2.blendLinear(above, lower.numpy(), share, 1 - share, frame)
        return made


class TorchResampler:
    """Many frames in one call."""

    def __init__(self, device: torch.device | str) -> None:
        self.device = torch.device(device)

    def frames_at_once(self, size: tuple[int, int]) -> int:
        return max(_PIXELS_AT_ONCE // (size[0] * size[1]), 1)

    def remap(self, picture: Tensor, x: Tensor, y: Tensor, *, smooth: bool) -> Tensor:
        made = _sample(picture[None], x.flatten(0, 1), y.flatten(0, 1), smooth=smooth)
        return made.view(*x.shape, *picture.shape[2:])

    def enlarge(
        self, pictures: Tensor, scale: np.ndarray, offset: np.ndarray, size: tuple[int, int], *, smooth: bool
    ) -> Tensor:
        x, y = (
            torch.arange(length, device=self.device) * float(scale[axis]) + float(offset[axis])
            for axis, length in enumerate(size[::-1])
        )
        return _sample(pictures, x.expand(size), y[:, None].expand(size), smooth=smooth)

    def over(self, upper: Tensor, lower: Tensor, cover: Tensor) -> Tensor:
        return _like(upper, torch.lerp(lower.float(), upper.float(), cover[..., None]))


def _sample(pictures: Tensor, x: Tensor, y: Tensor, *, smooth: bool) -> Tensor:
    """Pictures (F, h, w, ...), all at the same places (H, W): (F, H, W, ...)."""
    count, height, width = pictures.shape[:3]
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)
    planes = pictures.reshape(count, height, width, -1).permute(0, 3, 1, 2).flatten(0, 1)
    mode = "bicubic" if smooth else "bilinear"
    made = F.grid_sample(planes[None].float(), grid[None], mode=mode, padding_mode="border", align_corners=False)[0]
    made = made.unflatten(0, (count, -1)).permute(0, 2, 3, 1).reshape(count, *x.shape, *pictures.shape[3:])
    return _like(pictures, made)


def _like(picture: Tensor, values: Tensor) -> Tensor:
    return values.round_().clamp_(0, 255).to(torch.uint8) if picture.dtype == torch.uint8 else values
