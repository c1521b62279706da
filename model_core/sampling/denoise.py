"""One evaluation of a network over a whole clip: every window, every branch, fused and blended."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..backbones.base import ConditioningT
from ..types import Branch
from .guidance import SignalFusion, combine
from .windows import Window

PredictWindow = Callable[[Tensor, ConditioningT, tuple[Branch, ...]], Mapping[Branch, Tensor]]
"""The branches of one window, each of the shape of its noisy latents (1, n, C, h, w), which come first; the second
argument is the window's conditioning. Every branch is affine in the network's output, the same way in all of them, so
outputs and clean frames fuse alike: the weights of the branches sum to 1."""


class ClipPrediction(NamedTuple):
    """What the network says of a clip: (1, F, C, h, w) each.

    Attributes:
        fused: all branches, by their weights.
        unguided: the least conditioned branch of every window alone.
    """

    fused: Tensor
    unguided: Tensor


def predict_clip(
    predict: PredictWindow[ConditioningT],
    noisy: Tensor,
    conditioning: ConditioningT,
    *,
    windows: Sequence[Window],
    guidance: SignalFusion,
    step: int,
    steps: int,
) -> Generator[int, None, ClipPrediction]:
    """Predict a clip window by window.

    Args:
        predict: runs the network; branches of weight zero are not asked for.
        noisy: (1, F, C, h, w).
        conditioning: of all F frames.
        windows: of this step; together they cover every frame.
        step, steps: 0 <= step < steps, where guidance stands.
    Yields:
        how many windows are done, after each.
    Returns:
        in the dtype and on the device of ``noisy``.
    """
    made = ClipPrediction(torch.zeros_like(noisy), torch.zeros_like(noisy))
    for done, window in enumerate(windows, start=1):
        condition = conditioning.take(window.frames)
        weights = guidance.coefficients(step, steps, has_history=condition.num_history > 0)
        predictions = predict(noisy[:, window.span], condition, tuple(weights))
        share = _blend_weights(window, noisy)
        made.fused[:, window.span] += combine(predictions, weights) * share
        made.unguided[:, window.span] += predictions[next(iter(weights))] * share
        yield done
    return made


def _blend_weights(window: Window, like: Tensor) -> Tensor:
    """(n, 1, 1, 1) in the dtype and on the device of ``like``, without waiting for the device."""
    weights = torch.tensor(window.weights, dtype=like.dtype).view(-1, 1, 1, 1)
    return weights.to(like.device, non_blocking=True)
