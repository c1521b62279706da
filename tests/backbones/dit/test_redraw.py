"""The correction of the moved reference: nothing when fresh, local when trained, and part of what is moved."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from model_core.autoencoders import FoldAutoencoder
from model_core.backbones.dit import DiTBackbone
from model_core.backbones.dit.redraw import Redraw
from model_core.errors import CheckpointError
from model_core.types import ReferenceInputs


def inputs(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 3, 48, 16, 16, generator=generator), torch.rand(2, 3, 3, 64, 64, generator=generator)


def test_a_fresh_one_changes_nothing() -> None:
    latents, motion = inputs()
    assert torch.equal(Redraw(fold=4)(latents, motion), latents)


def test_it_learns_to_copy_what_the_driver_shows_to_its_place() -> None:
    torch.manual_seed(0)
    network, fold = Redraw(fold=4), FoldAutoencoder(4).encode
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    errors = []
    for step in range(100):
        motion = torch.zeros(1, 2, 3, 32, 32)
        motion[..., 8:16, 12:20] = torch.rand(1, 2, 3, 1, 1, generator=torch.Generator().manual_seed(step))
        wanted = fold(motion[0])[None]
        error = (network(torch.zeros_like(wanted), motion) - wanted).square().mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(float(error))
    assert sum(errors[-20:]) < 0.5 * sum(errors[:20])


def test_predictions_are_relative_to_the_corrected_reference(make_dit: Callable[..., DiTBackbone]) -> None:
    settings = {"reference_warp": True, "latent_fold": 2}
    plain, redrawn = make_dit(**settings), make_dit(**settings, redraw=True)
    redrawn.load_state_dict(plain.state_dict(), strict=False)
    image, motion = torch.rand(1, 3, 32, 32), torch.rand(1, 2, 3, 32, 32)
    reference = ReferenceInputs(image, plain.encode(image), motion=motion[:, 0])
    moved, corrected = (model.move_reference(reference, motion).latents for model in (plain, redrawn))
    assert redrawn.redraw is not None and redrawn.redraw in redrawn.warp_modules
    torch.testing.assert_close(corrected, redrawn.redraw(moved, motion))
    assert (corrected - moved).abs().max() > 1e-3


def test_latents_that_are_no_folded_pixels_cannot_be_redrawn(make_dit: Callable[..., DiTBackbone]) -> None:
    with pytest.raises(CheckpointError, match="redraw needs reference_warp"):
        make_dit(redraw=True)
