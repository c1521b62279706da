"""The carried portrait as the networks of any family see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError
from ..types import Baseline
from .frames import pick_frames


def needed_baseline(baseline: Baseline | None, *, uses: bool) -> Baseline | None:
    """The baseline of a model that uses one, None for any other; one that is missing is an InputError."""
    if uses and baseline is None:
        raise InputError(
            "motion: carries no landmarks, and this model starts from the portrait carried to them; analyse the "
            "portrait's face and make the motion with it"
        )
    return baseline if uses else None


def certain(latents: Tensor, stride: int) -> Baseline:
    """Latents (B, F, C, h, w) that are their own baseline: nothing is left to find out."""
    batch, frames, _, height, width = latents.shape
    return Baseline(latents, latents.new_ones(()).expand(batch, frames, 1, height * stride, width * stride))


def unknown(latents: Tensor, stride: int) -> Baseline:
    """A baseline that says nothing, for latents (B, F, C, h, w)."""
    nothing = certain(torch.zeros_like(latents), stride)
    return replace(nothing, validity=torch.zeros_like(nothing.validity))


def validity_channels(validity: Tensor, stride: int) -> Tensor:
    """Validity at image size (..., 1, H, W) beside latents: every pixel of a position a channel, (..., S * S, h, w)."""
    return F.pixel_unshuffle(validity, stride)


def pick_baseline(baseline: Baseline | None, frames: Sequence[int]) -> Baseline | None:
    """The frames of one window of a batch of clips."""
    if baseline is None:
        return None
    latents, validity = (pick_frames(part, frames) for part in (baseline.latents, baseline.validity))
    return replace(baseline, latents=latents, validity=validity)
