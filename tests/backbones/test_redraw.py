"""The correction of the baseline: nothing when fresh, local when trained, and what predictions are relative to."""

from __future__ import annotations

import torch

from model_core.autoencoders import FoldAutoencoder
from model_core.backbones.redraw import Redraw
from model_core.types import Baseline


def test_a_fresh_one_changes_nothing() -> None:
    baseline = Baseline(torch.randn(2, 3, 48, 16, 16), torch.rand(2, 3, 1, 64, 64))
    made = Redraw(fold=4)(baseline, torch.rand(2, 3, 3, 64, 64))
    assert torch.equal(made.latents, baseline.latents) and torch.equal(made.validity, baseline.validity)


def test_it_sees_what_the_portrait_really_shows() -> None:
    network = Redraw(fold=4)
    torch.nn.init.normal_(network.out.weight)
    latents, motion = torch.zeros(1, 1, 48, 8, 8), torch.rand(1, 1, 3, 32, 32)
    whole, part = torch.ones(1, 1, 1, 32, 32), torch.ones(1, 1, 1, 32, 32)
    part[..., 10:20, 10:20] = 0
    first, second = (network(Baseline(latents, shown), motion).latents for shown in (whole, part))
    assert (first - second).abs().max() > 0.01


def test_it_learns_to_copy_what_the_driver_shows_to_its_place() -> None:
    torch.manual_seed(0)
    network, fold = Redraw(fold=4), FoldAutoencoder(4).encode
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    errors = []
    for step in range(100):
        motion = torch.zeros(1, 2, 3, 32, 32)
        motion[..., 8:16, 12:20] = torch.rand(1, 2, 3, 1, 1, generator=torch.Generator().manual_seed(step))
        wanted = fold(motion[0])[None]
        blank = Baseline(torch.zeros_like(wanted), torch.ones(1, 2, 1, 32, 32))
        error = (network(blank, motion).latents - wanted).square().mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(float(error))
    assert sum(errors[-20:]) < 0.5 * sum(errors[:20])


def test_a_deeper_one_has_more_of_the_same_and_changes_nothing_either() -> None:
    plain, deep = Redraw(fold=8), Redraw(fold=8, widths=(32, 48, 64), depth=2)
    assert set(plain.state_dict()) < set(deep.state_dict())
    finest = {name for name in deep.state_dict() if name.startswith("up.1")}
    assert finest == {name for name in plain.state_dict() if name.startswith("up.1")}
    baseline = Baseline(torch.randn(1, 2, 192, 8, 8), torch.rand(1, 2, 1, 64, 64))
    assert torch.equal(deep(baseline, torch.rand(1, 2, 3, 64, 64)).latents, baseline.latents)
