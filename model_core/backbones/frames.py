"""Frames of a clip's tensors, for the conditioning of one window."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def pick_frames(values: Tensor, frames: Sequence[int]) -> Tensor:
    """Frames of (B, F, ...) by their numbers; a view, without a copy, where they follow one another."""
    first, last = frames[0], frames[-1]
    if list(frames) == list(range(first, last + 1)):
        return values[:, first : last + 1]
    return values[:, list(frames)]
