"""Videos of any length: chunks finished one after another, each given the last frames of the former."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from ..errors import InputError
from ..types import HistoryFrames, MotionSignal


@dataclass(frozen=True)
class Chunk:
    """Frames ``start`` to ``stop`` (exclusive) of a clip."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


def plan_chunks(num_frames: int, chunk: int) -> list[Chunk]:
    """Cut a clip into as few chunks as possible, of lengths that differ by one frame at most.

    Balanced, because a last chunk of a frame or two would leave the network without temporal context.

    Args:
        num_frames: of the clip, >= 1.
        chunk: greatest length of a chunk, >= 1.
    """
    if num_frames < 1 or chunk < 1:
        raise InputError(f"frames {num_frames}, chunk {chunk}: both must be at least 1")
    count = -(-num_frames // chunk)
    edges = [index * num_frames // count for index in range(count + 1)]
    return [Chunk(start, stop) for start, stop in pairwise(edges)]


def carry_history(latents: Tensor, motion: MotionSignal, count: int) -> HistoryFrames | None:
    """The last frames of a finished chunk, for the next one to continue.

    Args:
        latents: (1, F, C, h, w), the chunk's clean latents.
        motion: the chunk's motion signal, F frames.
        count: frames to carry, >= 0; all of them where the chunk is shorter.
    Returns:
        copies, so that the chunk itself can be freed; None if ``count`` is 0.
    """
    if count < 0:
        raise InputError(f"history {count}: must be at least 0; 0 carries nothing between chunks")
    if latents.shape[1] != len(motion):
        raise InputError(f"motion has {len(motion)} frames, the latents {latents.shape[1]}; pass the same frames")
    if count == 0:
        return None
    return HistoryFrames(latents[0, -count:].clone(), motion.frames[-count:].clone())
