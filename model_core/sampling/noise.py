"""The noise that sampling starts from: a function of the seed and the frame's number alone.

Drawn on the CPU in float32, so that the same seed is the same noise on every device. Each frame has its own
stream of a counter-based generator, so that neither chunks nor windows change a frame's noise.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError

_MAX_SEED = 2**64 - 1


def frame_noise(shape: tuple[int, ...], frames: Iterable[int], *, seed: int) -> Tensor:
    """Standard normal noise of some frames of a clip.

    Args:
        shape: of one frame's latents, (C, h, w).
        frames: absolute frame numbers, >= 0.
        seed: 0 to 2**64 - 1.
    Returns:
        (1, F, C, h, w) float32 on the CPU.
    """
    if not 0 <= seed <= _MAX_SEED:
        raise InputError(f"seed {seed}: must be from 0 to {_MAX_SEED}")
    drawn = [_generator(seed, frame).standard_normal(shape, dtype=np.float32) for frame in frames]
    return torch.from_numpy(np.stack(drawn)).unsqueeze(0)


def initial_noise(
    shape: tuple[int, ...],
    *,
    seed: int,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Noise of the first frames of a clip: ``shape`` is (1, F, C, h, w); see ``frame_noise``."""
    return frame_noise(shape[2:], range(shape[1]), seed=seed).to(device, dtype)


def _generator(seed: int, frame: int) -> np.random.Generator:
    # The frame's number is the highest word of the 256-bit counter: streams that can never meet.
    return np.random.Generator(np.random.Philox(key=seed, counter=frame << 192))
