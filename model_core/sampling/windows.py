"""Which frames are denoised together at which step: cyclic overlap (VividPortraits).

A network sees ``length`` frames at a time, so a longer clip is covered by windows that share frames.
Fixed windows leave their seams at the same frames in every step, and a seam is where a face jumps. So the
windows move right by one frame per step: with any overlap, ``length - overlap`` steps put every frame but
the clip's first and last inside one, every seam has been averaged away, and a frame's influence has grown
from ``length`` to almost ``2 * length`` frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

import numpy as np

from ..bounds import Bounds, check_settings
from ..config import SamplingConfig
from ..errors import InputError

Blend = Literal["uniform", "linear", "gaussian"]
Length = Annotated[int, Bounds(1, 100_000)]
Overlap = Annotated[int, Bounds(0, 100_000)]

_GAUSSIAN_VARIANCE = 0.01  # of a window's length: FollowYourEmoji's


@dataclass(frozen=True)
class Window:
    """Frames that are denoised together.

    Attributes:
        frames: indices into the clip, rising by one but for ``WrappedWindows``.
        weights: in (0, 1], one per frame; over the windows of a step the weights of a frame sum to 1.
    """

    frames: tuple[int, ...]
    weights: tuple[float, ...]

    @property
    def span(self) -> slice | list[int]:
        """``frames`` as an index; a slice, which copies nothing, where they follow one another."""
        first, last = self.frames[0], self.frames[-1]
        if self.frames == tuple(range(first, last + 1)):
            return slice(first, last + 1)
        return list(self.frames)


class Windows(Protocol):
    """Which frames are denoised together at which step."""

    def windows(self, step: int, num_frames: int) -> list[Window]: ...


@dataclass(frozen=True)
class CyclicOverlap:
    """The windows of every step.

    Attributes:
        length: frames denoised together, >= 1; best what the model was trained with.
        overlap: frames that neighbouring windows share at least, 0 <= overlap < length.
        cyclic: move the windows right by one frame per step; False keeps them in place.
        blend: how overlapping predictions are averaged: "uniform" (the paper), or "linear" and "gaussian", which
            trust the middle of a window more than its ends. Windows in place with the last, narrow one are
            FollowYourEmoji's long videos: it averages the stepped latents, which for a linear step is the same.
    Raises:
        InputError: if the values do not fit together.
    Source: VividPortraits, cyclic overlap. Where the paper is silent: segments pushed against the clip's
        ends keep their full length, so that the network never sees fewer frames than it was trained with.
    """

    length: Length
    overlap: Overlap
    cyclic: bool = True
    blend: Blend = "uniform"

    def __post_init__(self) -> None:
        check_settings(self, what="window ")
        if not 0 <= self.overlap < self.length:
            raise InputError(
                f"window {self.length}, overlap {self.overlap}: the overlap must be at least 0 and smaller "
                f"than the window; try an overlap of {max(self.length, 1) // 4}"
            )

    @property
    def stride(self) -> int:
        """Frames from one window to the next, and steps until the windows stand where they began."""
        return self.length - self.overlap

    def starts(self, step: int, num_frames: int) -> list[int]:
        """First frames of the windows of a step, rising: 0, the moved ones, and the last that fits."""
        last = num_frames - self.length
        if last <= 0:
            return [0]
        offset = step % self.stride if self.cyclic else 0
        return sorted({0, *range(offset, last, self.stride), last})

    def windows(self, step: int, num_frames: int) -> list[Window]:
        """The windows of one step: they cover every frame, and neighbours share >= ``overlap`` frames.

        Args:
            step: denoising step, >= 0.
            num_frames: of the clip, >= 1; up to ``length`` frames make one window of all of them.
        Returns:
            Windows by first frame: one starts at frame 0, one ends at the last frame.
        """
        if num_frames < 1:
            raise InputError(f"frames {num_frames}: a clip needs at least one frame")
        length = min(self.length, num_frames)
        frames = np.add.outer(self.starts(step, num_frames), np.arange(length))
        weights = np.broadcast_to(self._position_weights(length), frames.shape)
        total = np.bincount(frames.ravel(), weights.ravel(), minlength=num_frames)
        return [
            Window(tuple(row.tolist()), tuple(weight.tolist()))
            for row, weight in zip(frames, weights / total[frames], strict=True)
        ]

    def _position_weights(self, length: int) -> np.ndarray:
        """(length,) in (0, 1] by position in the window; never 0, so that sums are divisible."""
        if self.blend == "uniform":
            return np.ones(length)
        position = np.arange(length)
        if self.blend == "gaussian":
            return np.exp(-(((position - (length - 1) / 2) / length) ** 2) / (2 * _GAUSSIAN_VARIANCE))
        from_end = np.minimum(position, length - 1 - position) + 1
        return np.minimum(from_end / (self.overlap + 1), 1.0)


@dataclass(frozen=True)
class WrappedWindows:
    """AnimateDiff's "uniform" windows as AnimateAnyone runs them: the same at every step, the last wrapping around.

    For results that have to equal those of that code. ``CyclicOverlap`` is better: these windows join the last frames
    of a clip to its first ones, which only a loop wants; their seams stay at the same frames in every step; and a clip
    a little longer than a window is computed almost twice.

    Attributes:
        length, overlap: as ``CyclicOverlap``.
        dilations: at most so many window sets, of every frame, every 2nd, every 4th ...; AnimateAnyone uses 1.
        averaged: False adds overlapping predictions instead of averaging them, as AnimateAnyone does when it runs
            without guidance: a bug, which makes overlaps glow.
    """

    length: Length
    overlap: Overlap
    dilations: Annotated[int, Bounds(1, 16)] = 1
    averaged: bool = True

    def __post_init__(self) -> None:
        check_settings(self, what="window ")
        CyclicOverlap(self.length, self.overlap)  # the same limits

    def windows(self, step: int, num_frames: int) -> list[Window]:
        """See ``CyclicOverlap.windows``; a frame may stand twice in a dilated window."""
        if num_frames <= self.length:
            return [Window(tuple(range(num_frames)), (1.0,) * num_frames)]
        sets = min(self.dilations, int(np.ceil(np.log2(num_frames / self.length))) + 1)
        found = []
        for pace in (2**power for power in range(sets)):
            for first in range(0, num_frames, self.length * pace - self.overlap):
                found.append(tuple((first + pace * place) % num_frames for place in range(self.length)))
        count = np.zeros(num_frames)
        for frames in found:
            count[list(set(frames))] += 1
        share = 1 / count if self.averaged else np.ones(num_frames)
        return [Window(frames, tuple(share[list(frames)].tolist())) for frames in found]


def make_windows(sampling: SamplingConfig) -> CyclicOverlap | WrappedWindows:
    """The windows that a model's settings ask for."""
    if sampling.wrapped:
        return WrappedWindows(sampling.window, sampling.overlap)
    return CyclicOverlap(sampling.window, sampling.overlap, cyclic=sampling.cyclic, blend=sampling.blend)


def window_picture(windows: Windows, num_frames: int, steps: int, *, cell: int = 12) -> np.ndarray:
    """Draw where windows overlap: a row per step, a column per frame.

    Frames of one window are blue, frames that two share orange, frames of three or more red.

    Args:
        cell: pixels per step and frame, >= 2.
    Returns:
        (steps * cell, num_frames * cell, 3) uint8, RGB.
    """
    colours = np.array([(24, 24, 24), (66, 135, 245), (245, 158, 66), (214, 69, 65)], dtype=np.uint8)
    shared = np.zeros((steps, num_frames), dtype=np.int64)
    for step in range(steps):
        for window in windows.windows(step, num_frames):
            shared[step, list(set(window.frames))] += 1
    picture = colours[shared.clip(max=3)].repeat(cell, axis=0).repeat(cell, axis=1)
    picture[cell - 1 :: cell] = colours[0]
    picture[:, cell - 1 :: cell] = colours[0]
    return picture
