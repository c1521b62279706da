"""Metrics as pure functions of tensors; nothing here loads a network.

Clips are ``(F, 3, H, W)`` float RGB in [-1, 1]. Every metric gives one value per frame, ``(F,)`` float32 (per
pair of neighbours, ``(F - 1,)``, where it is about time), so that curves can be drawn; the mean is the score.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from ..errors import DependencyError, InputError
from ..images import to_uint8

DATA_RANGE = 2.0
"""White minus black."""
MAX_PSNR = 100.0
"""dB; reported for identical frames instead of infinity, so that means stay finite."""
OUTER_EYE_CORNERS = (33, 263)
"""Landmarks (MediaPipe topology, 478 points) whose distance is the unit of ``landmark_error``."""
_SSIM_WINDOW = 11


def l1(generated: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference, (F,) in [0, 2]; 0 is best."""
    _check_pair(generated, target)
    return (generated.float() - target.float()).abs().flatten(1).mean(dim=1)


def psnr(generated: Tensor, target: Tensor, *, where: Tensor | None = None) -> Tensor:
    """Peak signal-to-noise ratio, (F,) in dB, at most ``MAX_PSNR``; more is better.

    Args:
        where: (F, H, W) bool, the pixels that count; NaN in frames without any. None takes all.
    """
    _check_pair(generated, target)
    squares = (generated.float() - target.float()).square()
    mse = squares.flatten(1).mean(dim=1) if where is None else masked_mean(squares.mean(dim=1), where)
    floor = DATA_RANGE**2 / 10 ** (MAX_PSNR / 10)
    return 10 * torch.log10(DATA_RANGE**2 / mse.clamp_min(floor))


def ssim(generated: Tensor, target: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004; Gaussian window, sigma 1.5), (F,) in [-1, 1]; 1 is best.

    Raises:
        DependencyError: torchmetrics is not installed.
        InputError: shapes differ, or frames smaller than the window of 11 pixels.
    """
    return torch.as_tensor(_ssim(generated, target, whole=False)).reshape(len(generated))


def ssim_map(generated: Tensor, target: Tensor) -> Tensor:
    """The similarity of the window around every pixel, (F, H, W), whose mean is ``ssim``."""
    return torch.as_tensor(_ssim(generated, target, whole=True)[1]).mean(dim=1)


def _ssim(generated: Tensor, target: Tensor, *, whole: bool) -> Any:
    try:
        from torchmetrics.functional.image import structural_similarity_index_measure
    except ImportError as error:
        raise DependencyError("SSIM needs torchmetrics: pip install torchmetrics") from error
    _check_pair(generated, target)
    if min(generated.shape[-2:]) < _SSIM_WINDOW:
        size = tuple(generated.shape[-2:])
        raise InputError(f"SSIM: frames of {size} (height, width); use at least {_SSIM_WINDOW} pixels")
    return structural_similarity_index_measure(
        generated.float(), target.float(), data_range=DATA_RANGE, reduction="none", return_full_image=whole
    )


def masked_mean(values: Tensor, where: Tensor) -> Tensor:
    """Means of (F, H, W) over the pixels of a mask of the same shape, (F,); NaN where it holds none."""
    weights = where.float()
    return (values * weights).flatten(1).sum(dim=1) / weights.flatten(1).sum(dim=1)


def landmark_error(
    generated: Tensor | np.ndarray,
    truth: Tensor | np.ndarray,
    *,
    indices: Sequence[int] | None = None,
    found: Tensor | np.ndarray | None = None,
) -> Tensor:
    """Mean distance of landmarks over the distance of the truth's outer eye corners, (F,); 0 is best.

    Args:
        generated, truth: (F, 478, 2 or 3) in pixels of the same frame; only x and y count.
        indices: the landmarks that count; None means all.
        found: (F,) bool, False where the generated frame shows no face: NaN there. Report how many.
    """
    generated_FL2, truth_FL2 = (torch.as_tensor(points)[..., :2].float() for points in (generated, truth))
    if generated_FL2.shape != truth_FL2.shape:
        shapes = f"{tuple(generated_FL2.shape)} and {tuple(truth_FL2.shape)}"
        raise InputError(f"landmarks of different shapes, {shapes}; compare the same frames and points")
    left, right = OUTER_EYE_CORNERS
    unit_F = (truth_FL2[:, left] - truth_FL2[:, right]).norm(dim=-1)
    chosen = slice(None) if indices is None else list(indices)
    error_F = (generated_FL2[:, chosen] - truth_FL2[:, chosen]).norm(dim=-1).mean(dim=-1) / unit_F
    if found is None:
        return error_F
    return torch.where(torch.as_tensor(found, dtype=torch.bool), error_F, torch.nan)


def temporal_error(generated: Tensor, target: Tensor) -> Tensor:
    """How far the change from each frame to the next is from the target's, (F - 1,) in [0, 4]; 0 is best.

    The mean of ``|(g[t+1] - g[t]) - (y[t+1] - y[t])|``: no flow, no warping. It sees flicker, and a constant
    difference in colour or identity cancels out.
    """
    _check_pair(generated, target)
    change = generated.float().diff(dim=0) - target.float().diff(dim=0)
    return change.abs().flatten(1).mean(dim=1)


def flow_error(generated: Tensor, target: Tensor) -> Tensor:
    """tOF: how far the generated motion is from the target's, (F - 1,) in pixels; 0 is best.

    The mean over the pixels of the L1 distance of the two dense optical flows (Farneback's), each between
    neighbouring frames of its own clip.
    Source: TecoGAN (Chu et al. 2020), tOF; there with another flow method and summed over the pixels.
    """
    _check_pair(generated, target)
    difference = _flow(generated) - _flow(target)
    return torch.from_numpy(np.abs(difference).sum(axis=-1).mean(axis=(1, 2)).astype(np.float32))


def warping_error(generated: Tensor) -> Tensor:
    """What is left of each frame's difference from the one before it when its motion is undone, (F - 1,) in [0, 2].

    Each frame is warped back along the optical flow between the two and compared with the earlier one; 0 is best.
    It needs no truth: flicker and pops stay, motion does not.
    """
    if len(generated) < 2:
        return torch.zeros(0)
    flow = torch.from_numpy(_flow(generated))
    height, width = generated.shape[-2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    place = torch.stack([x, y], dim=-1) + flow
    grid = (place * 2 + 1) / torch.tensor([width, height]) - 1
    back = torch.nn.functional.grid_sample(generated[1:].float(), grid, padding_mode="border", align_corners=False)
    return (back - generated[:-1].float()).abs().flatten(1).mean(dim=1)


def landmark_jitter(
    generated: np.ndarray, truth: np.ndarray, *, indices: Sequence[int] | None = None, found: np.ndarray | None = None
) -> Tensor:
    """How far the landmarks' second difference over time is from the truth's, in its eye distances, (F - 2,).

    Arguments as of ``landmark_error``; NaN where a frame or a neighbour shows no face.
    """
    left, right = OUTER_EYE_CORNERS
    unit = np.linalg.norm(truth[:, left, :2] - truth[:, right, :2], axis=-1)[1:-1]
    chosen = slice(None) if indices is None else list(indices)
    error = np.diff(generated[:, chosen, :2] - truth[:, chosen, :2], n=2, axis=0)
    jitter = np.linalg.norm(error, axis=-1).mean(axis=-1) / unit
    if found is not None:
        jitter[~(found[:-2] & found[1:-1] & found[2:])] = np.nan
    return torch.from_numpy(jitter.astype(np.float32))


def colour_drift(generated: Tensor, target: Tensor) -> Tensor:
    """Distance of the mean colours, (F,) in [0, 2 * sqrt(3)]; a curve that rises means drifting colours.

    Args:
        target: (F or 1, 3, H', W'); one frame, such as ``generated[:1]``, is compared with all. Any size.
    """
    means = (clip.float().mean(dim=(2, 3)) for clip in (generated, target))
    return torch.linalg.vector_norm(torch.sub(*means), dim=1)


def mean_of_found(values: Tensor) -> float:
    """Mean without the NaNs of frames that could not be measured; NaN when that leaves none."""
    return float(values.nanmean()) if values.numel() else math.nan


def _flow(clip: Tensor) -> np.ndarray:
    """Optical flow from each frame to the next, (F - 1, H, W, 2) pixels."""
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in to_uint8(clip)]
    flows = [_flow_between(earlier, later) for earlier, later in zip(grey, grey[1:], strict=False)]
    return np.stack(flows) if flows else np.zeros((0, *clip.shape[-2:], 2), np.float32)


def _flow_between(earlier: np.ndarray, later: np.ndarray) -> np.ndarray:
    start = np.zeros((*earlier.shape, 2), np.float32)
    return np.asarray(
        cv2.calcOpticalFlowFarneback(
            earlier,
            later,
            start,
            pyr_scale=0.5,
            levels=4,
            winsize=15,
            iterations=3,
            poly_n=5,
            poly_sigma=1.2,
            flags=0,
        )
    )


def _check_pair(generated: Tensor, target: Tensor) -> None:
    if generated.shape != target.shape or generated.ndim != 4:
        shapes = f"{tuple(generated.shape)} and {tuple(target.shape)}"
        raise InputError(f"metrics: clips of shapes {shapes}; expected two equal (frames, 3, height, width)")
