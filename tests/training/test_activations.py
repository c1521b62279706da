"""The term of the loss that keeps residual streams within the range of float16."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from model_core.training.activations import StreamMeter


class Block(nn.Module):
    """A residual stream of any scale: the norm behind it hides that."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(8, 8)
        self.norm = nn.LayerNorm(8)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.norm(self.enter(values))


def test_it_costs_nothing_below_the_limit_and_more_and_more_beyond() -> None:
    block, values = Block(), torch.randn(32, 8)
    meter = StreamMeter(block)
    size = float(block.enter(values).square().mean().sqrt())
    costs = []
    for limit in (2 * size, size / 2, size / 4):
        block(values)
        costs.append(float(meter.excess(limit)))
    assert costs == pytest.approx([0, 0.1, 0.9], rel=1e-3)
    assert float(meter.excess(1.0)) == 0  # what was measured is forgotten


def test_it_brings_a_stream_back_that_the_loss_does_not_see() -> None:
    torch.manual_seed(0)
    block, values = Block(), torch.randn(64, 8)
    with torch.no_grad():
        block.enter.weight.mul_(1e6)
        before = block(values)
    meter = StreamMeter(block)
    optimizer = torch.optim.Adam(block.parameters(), lr=1e4)
    for _ in range(200):
        block(values)
        optimizer.zero_grad()
        meter.excess(10.0).backward()
        optimizer.step()
    assert before.abs().max() < 10
    with torch.no_grad():
        assert block.enter(values).square().mean().sqrt() < 1e5


def test_estimates_without_gradients_are_not_measured() -> None:
    block = Block()
    meter = StreamMeter(block)
    with torch.no_grad():
        block(1e6 * torch.randn(4, 8))
    assert float(meter.excess(1.0)) == 0
