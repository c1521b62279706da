"""The matting network: the bundled file, what it answers, and its alpha at a portrait's own size."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from model_core.errors import CheckpointError
from model_core.faces.matting import (
    WEIGHTS,
    MattingNetwork,
    enlarged,
    load_network,
    network_input,
    refine,
)
from model_core.weights.io import write_safetensors

SIZE = 96


def scene(height: int = SIZE, width: int = SIZE) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A pale disc before noise, the landmarks in it, and the disc."""
    rows, columns = np.mgrid[:height, :width]
    disc = np.hypot(columns - width / 2, rows - height / 2) < 0.3 * min(height, width)
    pixels = np.random.default_rng(0).integers(0, 90, (height, width, 3)).astype(np.uint8)
    pixels[disc] = (220, 180, 160)
    turns = np.arange(478) * (2 * np.pi / 478)
    circle = np.stack([np.cos(turns), np.sin(turns)], axis=1) * 0.2 * min(height, width)
    return pixels, circle + (width / 2, height / 2), disc.astype(np.float32)


def trained(seed: int = 0) -> MattingNetwork:
    """A network that says something of its own."""
    torch.manual_seed(seed)
    network = MattingNetwork().eval().requires_grad_(False)
    torch.nn.init.normal_(network.out.weight, std=0.3)
    return network


@pytest.mark.skipif(not WEIGHTS.is_file(), reason="NO MATTING NETWORK IS BUNDLED: its file cannot be looked at")
def test_the_bundled_file_is_small_and_half_as_precise() -> None:
    tensors = load_file(WEIGHTS)
    assert WEIGHTS.stat().st_size < 2_000_000
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())


def test_a_fresh_network_answers_with_the_guess() -> None:
    pixels, points, disc = scene()
    alpha = MattingNetwork()(network_input(pixels, points, disc)[None]).sigmoid()[0, 0].detach().numpy()
    np.testing.assert_allclose(alpha, 0.5 + (disc - 0.5) * 0.905, atol=1e-3)


@pytest.mark.parametrize("size", [(96, 96), (61, 87), (5, 9), (256, 40)])
def test_alpha_has_the_pictures_size_and_the_same_bits_twice(size: tuple[int, int]) -> None:
    pixels, points, disc = scene(*size)
    first, second = (refine(trained(), pixels, points, disc) for _ in range(2))
    assert first.shape == size and first.dtype == np.float32
    assert 0 <= first.min() and first.max() <= 1
    np.testing.assert_array_equal(first, second)


def test_float16_arithmetic_gives_nearly_the_same() -> None:
    pixels, points, disc = scene()
    seen = network_input(pixels, points, disc)[None]
    network = trained()
    exact = network(seen).sigmoid()
    half = network.half()(seen.half()).float().sigmoid()
    assert torch.isfinite(half).all()
    assert float((half - exact).abs().max()) < 0.05


def test_a_file_as_training_writes_it_is_under_two_megabytes(tmp_path: Path) -> None:
    network = trained()
    halves = {key: value.half() for key, value in network.state_dict().items()}
    path = write_safetensors(tmp_path / "matting.safetensors", halves)
    assert path.stat().st_size < 2_000_000
    loaded = load_network(path)
    assert all(torch.equal(value.half(), halves[key]) for key, value in loaded.state_dict().items())
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_a_file_that_is_another_network_is_named(tmp_path: Path) -> None:
    path = write_safetensors(tmp_path / "other.safetensors", {"weight": torch.zeros(3)})
    with pytest.raises(CheckpointError, match="other.safetensors: holds no matting network"):
        load_network(path)


def test_enlarged_alpha_follows_the_edge_of_the_large_picture() -> None:
    rows, columns = np.mgrid[:400, :400]
    truth = (columns + 0.4 * rows < 300).astype(np.float32)
    large = (30 + 190 * truth[..., None] * np.ones(3)).astype(np.uint8)
    small = cv2.resize(large, (100, 100), interpolation=cv2.INTER_AREA)
    alpha = cv2.resize(truth, (100, 100), interpolation=cv2.INTER_AREA)
    plain = cv2.resize(alpha, (400, 400), interpolation=cv2.INTER_LINEAR)
    made = enlarged(alpha, small, large)
    assert made.shape == (400, 400) and made.dtype == np.float32
    assert 0 <= made.min() and made.max() <= 1
    assert abs(made - truth).mean() < 0.5 * abs(plain - truth).mean()


def test_enlarged_alpha_without_an_edge_ignores_the_picture() -> None:
    large = np.random.default_rng(0).integers(0, 256, (90, 120, 3)).astype(np.uint8)
    small = cv2.resize(large, (40, 30), interpolation=cv2.INTER_AREA)
    for value in (0.0, 1.0):
        np.testing.assert_allclose(enlarged(np.full((30, 40), value, np.float32), small, large), value, atol=1e-5)


def test_alpha_of_the_same_size_stays_as_it_is() -> None:
    pixels, _, disc = scene()
    np.testing.assert_array_equal(enlarged(disc, pixels, pixels), disc)
