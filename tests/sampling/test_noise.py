from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.errors import InputError
from model_core.sampling import frame_noise, initial_noise

SHAPE = (4, 3, 5)
RECORDED = [0.1817047, -1.2426393, -0.551553, -0.4806558, -0.7384632, -0.9618153]


@given(st.integers(0, 2**64 - 1), st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 4))
@settings(max_examples=30)
def test_chunking_does_not_change_a_frames_noise(seed: int, first: int, one: int, two: int) -> None:
    whole = frame_noise(SHAPE, range(first, first + one + two), seed=seed)
    parts = [
        frame_noise(SHAPE, range(first, first + one), seed=seed),
        frame_noise(SHAPE, range(first + one, first + one + two), seed=seed),
    ]
    assert whole.shape == (1, one + two, *SHAPE) and whole.dtype == torch.float32
    assert torch.equal(whole, torch.cat(parts, dim=1))


def test_frames_and_seeds_differ() -> None:
    noise = torch.cat([frame_noise(SHAPE, range(8), seed=seed) for seed in (0, 1, 2**63)]).flatten(0, 1)
    assert len({tuple(frame.flatten().tolist()) for frame in noise}) == 24


def test_standard_normal() -> None:
    noise = frame_noise((4, 32, 32), range(16), seed=3)
    assert abs(noise.mean().item()) < 0.01 and abs(noise.std().item() - 1) < 0.01
    across = noise.diff(dim=1).std().item()
    assert abs(across - 2**0.5) < 0.02  # neighbouring frames are independent


def test_recorded_values() -> None:
    """The same seed must stay the same noise in later versions, or every user's result changes."""
    noise = frame_noise((1, 1, 3), [0, 7], seed=42)
    torch.testing.assert_close(noise.flatten(), torch.tensor(RECORDED), atol=1e-6, rtol=0)


def test_initial_noise_is_the_first_frames() -> None:
    noise = initial_noise((1, 3, *SHAPE), seed=5, dtype=torch.float16)
    assert torch.equal(noise, frame_noise(SHAPE, range(3), seed=5).half())


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_bad_seed(seed: int) -> None:
    with pytest.raises(InputError, match=f"seed {seed}"):
        frame_noise(SHAPE, [0], seed=seed)
