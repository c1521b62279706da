"""A square around the tracked face that stands still over the clip, and the way back into the frames."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..errors import InputError
from ..geometry import Placement, soft_ends
from ..images import cut
from ..types import FaceTrack
from .colours import matched_colours


@dataclass(frozen=True)
class CropRegion:
    """A square of whole pixels; it may reach beyond the frame.

    Attributes:
        x, y: its left and upper edge in pixels of the frame.
        side: in pixels, >= 1.
        frame_size: (H, W) of the frame it belongs to.
    """

    x: int
    y: int
    side: int
    frame_size: tuple[int, int]

    def at(self, size: int | None) -> Placement:
        """From the frame to the square shown at a size, or at its own."""
        return Placement.of_window((self.x, self.y, self.side, self.side), None if size is None else (size, size))


def crop_region(track: FaceTrack, *, margin: float = 0.6) -> CropRegion:
    """The square that holds the face in every frame, with a margin.

    Args:
        track: the face.
        margin: space around the largest face on each side, as a share of its larger dimension, >= 0. Where
            the face moves, the square grows by its way.
    """
    if margin < 0:
        raise InputError(f"crop: margin is {margin}; choose 0 or more")
    boxes = track.boxes.astype(np.float64)
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    around = 2.0 * margin * float((boxes[:, 2:] - boxes[:, :2]).max())
    side = max(int(np.ceil((high - low).max() + around)), 1)
    x, y = np.round((low + high - side) / 2.0).astype(int).tolist()
    return CropRegion(x, y, side, track.size)


def crop_frames(frames: Tensor, region: CropRegion, *, size: int | None = None) -> Tensor:
    """Cut the square out of every frame; beyond the frame its border is repeated.

    Args:
        frames: (F, C, H, W).
        size: side of the result in pixels; None leaves the region's own side and every pixel exact.
    Returns:
        (F, C, size, size).
    """
    _check(frames, region)
    x, y, side = region.x, region.y, region.side
    square = cut(frames, range(y, y + side), range(x, x + side))
    return square if size is None else _resized(square, size)


def crop_track(track: FaceTrack, region: CropRegion, *, size: int | None = None) -> FaceTrack:
    """The same face in the pixels of the crop; label maps are cut out too, and are background beyond the frame."""
    moved = region.at(size).track(track)
    labels = None if track.label_maps is None else _crop_labels(track.label_maps, region, moved.size[0])
    return replace(moved, label_maps=labels)


def _crop_labels(labels: np.ndarray, region: CropRegion, side: int) -> np.ndarray:
    """Label maps (F, H, W) as (F, side, side); every pixel takes the label at its middle."""
    height, width = region.frame_size
    steps = np.floor((np.arange(side) + 0.5) * region.side / side).astype(np.int64)
    rows, columns = region.y + steps, region.x + steps
    outside = ((rows < 0) | (rows >= height))[:, None] | ((columns < 0) | (columns >= width))[None]
    made = labels[:, rows.clip(0, height - 1)[:, None], columns.clip(0, width - 1)[None]]
    made[:, outside] = 0
    return made


def paste_back(
    frames: Tensor,
    crops: Tensor,
    region: CropRegion,
    *,
    feather: float = 0.08,
    mask: Tensor | None = None,
    match_colour: bool = False,
) -> Tensor:
    """Put the squares back where they were cut out; the inverse of ``crop_frames``.

    Args:
        frames: (F, C, H, W), or (1, C, H, W) to paste every crop into the same picture; left unchanged.
        crops: (F, C, size, size); resized to the region's side where it differs.
        feather: width of the soft edge as a share of the side, in [0, 0.5]; 0 pastes with a hard edge. Where the
            square reaches beyond the frame there is no edge and nothing fades.
        mask: (1 or F, 1, h, w) in [0, 1] over the square, resized to it; 0 leaves the frame as it is.
        match_colour: bring the crops to the colours of what they cover, see ``matched_colours``.
    Returns:
        (F, C, H, W); wherever the edge or the mask is 0, bit for bit the frames.
    Raises:
        InputError: sizes or counts do not fit each other.
    """
    _check(frames, region)
    if crops.shape[-1] != crops.shape[-2]:
        raise InputError(
            f"paste back: crops of {crops.shape[-1]}x{crops.shape[-2]}, but what was cut out is a square; "
            "animate it with a model of square frames, or pad the crops to a square"
        )
    if len(frames) not in (1, len(crops)):
        raise InputError(f"paste back: {len(crops)} crops do not fit {len(frames)} frames; give one frame, or as many")
    if not 0.0 <= feather <= 0.5:
        raise InputError(f"paste back: feather is {feather}; choose 0 to 0.5")
    made = frames.expand(len(crops), -1, -1, -1).clone()
    height, width = region.frame_size
    top, left = max(region.y, 0), max(region.x, 0)
    bottom, right = min(region.y + region.side, height), min(region.x + region.side, width)
    if top >= bottom or left >= right:
        return made
    inside = (
        ...,
        slice(top - region.y, bottom - region.y),
        slice(left - region.x, right - region.x),
    )
    full = crops if crops.shape[-1] == region.side else _resized(crops, region.side)
    patch = full[inside].to(made)
    weight = _fade(region, feather)[None, None][inside].to(made)
    if mask is not None:
        weight = weight * interpolate(mask.to(made), (region.side, region.side), mode="bilinear")[inside]
    under = made[..., top:bottom, left:right]
    if match_colour:
        patch = matched_colours(patch, under, weight)
    # exact at both ends: 0 is the frame, 1 the crop
    made[..., top:bottom, left:right] = torch.lerp(under, patch, weight.expand_as(under))
    return made


def _fade(region: CropRegion, feather: float) -> Tensor:
    """(side, side) in (0, 1]: 1 inside, falling smoothly towards those edges that lie inside the frame."""
    height, width = region.frame_size
    ramp = max(feather * region.side, 1e-6)
    rows, columns = (
        soft_ends(region.side, low=start > 0, high=start + region.side < length, width=ramp, dtype=np.float32)
        for start, length in ((region.y, height), (region.x, width))
    )
    return torch.from_numpy(rows[:, None] * columns[None])


def _resized(images: Tensor, size: int) -> Tensor:
    """Bicubic; overshoot is clamped to the pictures' own range, whatever it is."""
    made = interpolate(images, (size, size), mode="bicubic", align_corners=False, antialias=True)
    low, high = images.aminmax()
    return made.clamp(low, high)


def _check(frames: Tensor, region: CropRegion) -> None:
    if tuple(frames.shape[-2:]) != tuple(region.frame_size):
        raise InputError(
            f"crop: frames of {tuple(frames.shape[-2:])} pixels, but the region belongs to frames of "
            f"{tuple(region.frame_size)}; use the frames that were analysed"
        )
