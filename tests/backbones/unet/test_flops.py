"""What one denoising step costs at full size, counted by torch on shapes alone: no time is measured."""

from __future__ import annotations

import pytest

from benchmarks.bench_flops import measure


def test_a_guided_step_at_full_size_costs_what_it_should() -> None:
    """512 x 512, 24 frames, reference and motion guidance with one unconditional branch."""
    _, ours, peers = measure()
    assert ours <= 53.0
    assert peers == pytest.approx(64.25, abs=0.01)  # what their own modules count to: the comparison is a fair one
