"""Folding is exact; Stable Diffusion's autoencoder does what diffusers does, a few images at a time."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.autoencoders import FoldAutoencoder, KLAutoencoder, build_autoencoder
from model_core.config import AutoencoderConfig

SCALE = 0.18215
KL: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "block_out_channels": (8, 8, 8, 8),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 1,
    "norm_num_groups": 4,
}


@settings(max_examples=20, deadline=None)
@given(
    stride=st.sampled_from([1, 2, 4]),
    height=st.integers(1, 4),
    width=st.integers(1, 4),
    scale=st.sampled_from([0.5, 1.0, 2.0]),
)
def test_folding_is_exact(stride: int, height: int, width: int, scale: float) -> None:
    images = torch.rand(2, 3, height * stride, width * stride) * 2 - 1
    fold = FoldAutoencoder(stride, scale)
    latents = fold.encode(images)
    assert latents.shape == (2, 3 * stride**2, height, width)
    assert torch.equal(fold.decode(latents), images)
    assert latents.abs().max() == images.abs().max() * scale


def test_folding_keeps_every_pixel_at_its_place() -> None:
    image = torch.zeros(1, 3, 8, 8)
    image[0, 1, 5, 2] = 1
    (place,) = FoldAutoencoder(4).encode(image).nonzero().tolist()
    assert place[2:] == [1, 0]  # the cell that holds row 5, column 2
    assert place[1] == 1 * 16 + 1 * 4 + 2  # channel, then row and column within the cell


def test_decoded_folds_are_clamped() -> None:
    assert FoldAutoencoder(2, 2.0).decode(torch.full((1, 12, 1, 1), 5.0)).max() == 1


@pytest.fixture(scope="module")
def vae() -> AutoencoderKL:
    torch.manual_seed(0)
    return AutoencoderKL(**KL).eval().requires_grad_(False)


def test_kl_latents_are_the_scaled_mean(vae: AutoencoderKL) -> None:
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    latents = KLAutoencoder(vae, SCALE).encode(images)
    assert latents.shape == (2, 4, 2, 2)
    assert torch.equal(latents, vae.encode(images).latent_dist.mean * SCALE)


@pytest.mark.parametrize("batch", [1, 2, 4, 7])
def test_kl_decodes_in_batches_what_it_decodes_one_by_one(vae: AutoencoderKL, batch: int) -> None:
    latents = torch.randn(5, 4, 2, 2)
    made = KLAutoencoder(vae, SCALE, batch=batch).decode(latents)
    alone = torch.cat([vae.decode(one[None] / SCALE).sample.clamp(-1, 1) for one in latents])
    assert made.shape == (5, 3, 16, 16)
    torch.testing.assert_close(made, alone, rtol=1e-4, atol=1e-5)


def test_kl_never_decodes_more_than_its_batch(vae: AutoencoderKL, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    decode = vae.decode

    def counted(latents: torch.Tensor) -> Any:
        seen.append(len(latents))
        return decode(latents)

    monkeypatch.setattr(vae, "decode", counted)
    KLAutoencoder(vae, SCALE, batch=2).decode(torch.randn(5, 4, 2, 2))
    assert seen == [2, 2, 1]


def test_configs_become_autoencoders() -> None:
    fold = build_autoencoder(AutoencoderConfig(kind="fold", stride=8, scaling_factor=3.0))
    assert isinstance(fold, FoldAutoencoder) and (fold.stride, fold.scaling_factor) == (8, 3.0)
    kl = build_autoencoder(AutoencoderConfig(kind="kl", stride=8, scaling_factor=SCALE, kl=KL))
    assert isinstance(kl, KLAutoencoder) and kl.scaling_factor == SCALE
