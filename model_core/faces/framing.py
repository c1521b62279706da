"""Bring a portrait of any size and shape to a model's frame, its face as large as the model knows faces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError
from ..geometry import Placement, Rectangle
from ..images import cut
from ..types import FaceTrack

Framing = Literal["auto", "face", "full"]

FACE_SHARE = 0.48
"""Height of the face (all landmarks, as MediaPipe finds them) as a share of the bundled model's training frames."""

_AUTO_RANGE = (0.4, 0.6)


@dataclass(frozen=True)
class Portrait:
    """A portrait in a model's frame: image (1, 3, H, W), its face and its foreground in the same pixels.

    ``window`` is the part of the original image that it shows, (left, top, width, height) in its whole pixels, and may
    reach beyond it; the track's label maps stay with the original, whose pixels are finer.
    """

    image: Tensor
    track: FaceTrack | None
    foreground: Tensor | None
    window: Rectangle


def frame_portrait(
    image: Tensor,
    track: FaceTrack | None,
    *,
    size: tuple[int, int],
    foreground: Tensor | None = None,
    framing: Framing = "auto",
) -> Portrait:
    """Crop and resize a portrait.

    ``full`` keeps as much of the image as fits the model's shape, around its centre. ``face`` crops around
    the face so that it fills ``FACE_SHARE`` of the frame; where the crop leaves the image, the border is
    repeated. ``auto`` is ``full`` where the face is already about that large, else ``face``.

    Args:
        image: (1, 3, H, W) in [-1, 1].
        track: its face (one frame); needed by ``face``.
        size: (H, W) of the model.
        foreground: (1, 1, H, W) in [0, 1] or None.
    """
    if track is None and framing == "face":
        raise InputError("reference: framing 'face' needs the portrait's face; analyse it first")
    height, width = image.shape[-2:]
    scale = min(height / size[0], width / size[1])
    box = np.array([width / 2, height / 2, size[1] * scale, size[0] * scale])  # centre x, y, width, height
    if track is not None and framing != "full":
        x0, y0, x1, y1 = _extent(track)
        share = (y1 - y0) / box[3]
        low, high = _AUTO_RANGE
        if framing == "face" or not low <= share <= high:
            tall = (y1 - y0) / FACE_SHARE
            box = np.array([(x0 + x1) / 2, (y0 + y1) / 2 - 0.02 * tall, tall * size[1] / size[0], tall])
    return _crop(image, track, foreground, box, size)


def _extent(track: FaceTrack) -> tuple[float, float, float, float]:
    points = track.landmarks[0, :, :2]
    low, high = points.min(0), points.max(0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _crop(
    image: Tensor, track: FaceTrack | None, foreground: Tensor | None, box: np.ndarray, size: tuple[int, int]
) -> Portrait:
    # whole pixels, so that image, mask and landmarks are cut at the very same place
    width, height = (max(round(side), 1) for side in box[2:])
    left, top = round(box[0] - box[2] / 2), round(box[1] - box[3] / 2)
    window = (left, top, width, height)
    made = _sample(image, window, size)
    mask = None if foreground is None else _sample(foreground, window, size).clamp(0, 1)
    if track is None:
        return Portrait(made.clamp(-1, 1), None, mask, window)
    return Portrait(made.clamp(-1, 1), Placement.of_window(window, size).track(track), mask, window)


def _sample(image: Tensor, window: Rectangle, size: tuple[int, int]) -> Tensor:
    """Antialiased resampling of a window that may leave the image."""
    left, top, width, height = window
    if window == (0, 0, image.shape[-1], image.shape[-2]) and (height, width) == tuple(size):
        return image
    part = cut(image, range(top, top + height), range(left, left + width)).float()
    return F.interpolate(part, size, mode="bicubic", align_corners=False, antialias=True)
