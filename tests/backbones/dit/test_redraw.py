"""The correction of the baseline: nothing when fresh, local when trained, and what predictions are relative to."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from model_core.autoencoders import FoldAutoencoder
from model_core.backbones.dit import DiTBackbone
from model_core.backbones.dit.redraw import Redraw
from model_core.errors import CheckpointError
from model_core.types import Baseline, ReferenceInputs


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


def test_predictions_are_relative_to_the_corrected_baseline(make_dit: Callable[..., DiTBackbone]) -> None:
    model = make_dit(baseline=True, redraw=True)
    image, motion = torch.rand(1, 3, 32, 32), torch.rand(1, 2, 3, 32, 32)
    baseline = Baseline(model.encode(torch.rand(2, 3, 32, 32))[None], torch.rand(1, 2, 1, 32, 32))
    reference = model.encode_reference(ReferenceInputs(image, model.encode(image)))
    conditioning = model.condition(reference, motion, baseline=baseline)
    assert model.redraw is not None and conditioning.baseline is not None
    corrected = conditioning.baseline.latents
    torch.testing.assert_close(corrected, model.redraw(baseline, motion).latents)
    assert (corrected - baseline.latents).abs().max() > 1e-3


def test_latents_that_are_no_folded_pixels_cannot_be_redrawn(make_dit: Callable[..., DiTBackbone]) -> None:
    for settings in ({"redraw": True}, {"redraw": True, "baseline": True, "latent_stride": 4}):
        with pytest.raises(CheckpointError, match="redraw needs baseline and latents of folded pixels"):
            make_dit(**settings)
