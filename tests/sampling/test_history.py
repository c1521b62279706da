from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model_core.errors import InputError
from model_core.sampling import carry_history, plan_chunks
from model_core.types import MotionSignal


@given(st.integers(1, 3000), st.integers(1, 300))
def test_chunks_cover_the_clip_and_are_balanced(num_frames: int, chunk: int) -> None:
    chunks = plan_chunks(num_frames, chunk)
    assert [i for part in chunks for i in range(part.start, part.stop)] == list(range(num_frames))
    lengths = [len(part) for part in chunks]
    assert max(lengths) <= chunk and max(lengths) - min(lengths) <= 1
    assert len(chunks) == -(-num_frames // chunk)


@pytest.mark.parametrize(("num_frames", "chunk"), [(0, 4), (4, 0)])
def test_bad_plans(num_frames: int, chunk: int) -> None:
    with pytest.raises(InputError, match=f"frames {num_frames}, chunk {chunk}"):
        plan_chunks(num_frames, chunk)


def test_the_last_frames_are_carried_as_copies() -> None:
    latents, motion = torch.randn(1, 5, 2, 3, 4), MotionSignal("parsing_map", torch.rand(5, 3, 6, 8))
    history = carry_history(latents, motion, 2)
    assert history is not None and len(history) == 2
    assert torch.equal(history.latents, latents[0, 3:]) and torch.equal(history.motion, motion.frames[3:])
    latents.zero_()
    assert history.latents.abs().sum() > 0
    assert history.latents.untyped_storage().nbytes() < latents.untyped_storage().nbytes()


def test_fewer_frames_than_asked_and_none() -> None:
    latents, motion = torch.randn(1, 2, 2, 3, 4), MotionSignal("parsing_map", torch.rand(2, 3, 6, 8))
    history = carry_history(latents, motion, 3)
    assert history is not None and len(history) == 2
    assert carry_history(latents, motion, 0) is None


def test_bad_history() -> None:
    latents, motion = torch.randn(1, 2, 2, 3, 4), MotionSignal("parsing_map", torch.rand(3, 3, 6, 8))
    with pytest.raises(InputError, match="3 frames, the latents 2"):
        carry_history(latents, motion, 1)
    with pytest.raises(InputError, match="history -1"):
        carry_history(latents, motion.take([0, 1]), -1)
