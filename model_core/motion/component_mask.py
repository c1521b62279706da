"""Masks of parts of a face, widened or narrowed, with soft edges."""

from __future__ import annotations

from collections.abc import Collection

import cv2
import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..types import Component, FaceTrack
from .parsing_map import label_map


def component_masks(
    track: FaceTrack, components: Collection[Component], *, grow: int = 0, feather: float = 0.0
) -> Tensor:
    """Where some components of the face are.

    Args:
        track: F frames.
        components: which ones, at least one.
        grow: pixels by which the mask reaches beyond the components; negative narrows it.
        feather: pixels on each side of the edge over which the mask falls off; 0 for a hard edge.
    Returns:
        (F, H, W) float32 in [0, 1], of the track's size. A frame that does not show the components (a closed
        mouth's inside) has an empty mask.
    Raises:
        InputError: no components, a negative feather, or narrowing leaves nothing in any frame.
    """
    if not components:
        raise InputError("mask: no part of the face is chosen; choose at least one")
    if feather < 0:
        raise InputError(f"mask: feather is {feather}; choose 0 or more")
    wanted = [int(component) for component in components]
    labels = track.label_maps
    if labels is None:
        labels = np.stack([label_map(landmarks, track.size, track.size) for landmarks in track.landmarks])
    found = [np.isin(frame, wanted) for frame in labels]
    grown = [_grown(mask, grow) for mask in found]
    if grow < 0 and any(mask.any() for mask in found) and not any(mask.any() for mask in grown):
        raise InputError(f"mask: grow {grow} leaves nothing of the chosen parts; choose a number nearer to 0")
    return torch.from_numpy(np.stack([_feathered(mask, feather) for mask in grown]))


def _grown(mask: np.ndarray, pixels: int) -> np.ndarray:
    """By the distance to the nearest pixel of the other kind, which takes the same time for any width."""
    if pixels == 0 or not mask.any():
        return mask
    others = (mask if pixels < 0 else ~mask).astype(np.uint8)
    distance = cv2.distanceTransform(others, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return distance > -pixels if pixels < 0 else distance <= pixels


def _feathered(mask: np.ndarray, pixels: float) -> np.ndarray:
    soft = mask.astype(np.float32)
    if pixels == 0:
        return soft
    # two standard deviations hold 95 % of the fall; the frame's border is no edge
    blurred = cv2.GaussianBlur(soft, (0, 0), pixels / 2.0, borderType=cv2.BORDER_REPLICATE)
    return np.clip(blurred, 0.0, 1.0)
