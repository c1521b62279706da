from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.images import read_pixels, resize, to_float, to_uint8
from model_core.motion.expressions import expression_offsets, neutral_face
from model_core.warp import PortraitLayers, resampling
from model_core.warp import portrait as portrait_module
from model_core.warp.full_size import FullSize
from model_core.warp.resampling import OpenCVResampler, TorchResampler, resampler_for

from .conftest import SIZE, placed

DEMO = Path(__file__).parents[2] / "model_core" / "assets" / "demo_portrait.png"


@pytest.fixture(scope="module")
def layers() -> PortraitLayers:
    """The demo portrait with an average face that does not quite fit: edges of all kinds are carried."""
    pixels = to_uint8(resize(to_float(read_pixels(DEMO)), (SIZE, SIZE)))[0]
    y, x = np.mgrid[:SIZE, :SIZE]
    person = (np.hypot(x - SIZE / 2, y - SIZE / 2) < 90).astype(np.float32)
    # a grid coarser than pixels, as large pictures have it
    return replace(PortraitLayers.of(pixels, expressed(0.5), person), step=1.7)


def expressed(opening: float, *, turn: tuple[float, float, float] = (0, 0, 0)) -> np.ndarray:
    said = np.zeros((1, 51), np.float32)
    said[0, 24] = opening  # jawOpen
    return placed(neutral_face() + expression_offsets(said)[0], turn)


def with_torch(monkeypatch: pytest.MonkeyPatch, device: str = "cpu") -> None:
    monkeypatch.setattr(portrait_module, "resampler_for", lambda _: TorchResampler(device))


def assert_alike(made: np.ndarray, expected: np.ndarray) -> None:
    """The frames of one resampler are the other's, but for rounding."""
    apart = np.abs(made.astype(int) - expected)
    assert made.shape == expected.shape and apart.max() <= 2 and apart.mean() < 0.01


MOVES = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.tuples(st.floats(-0.4, 0.4), st.floats(-0.6, 0.6), st.floats(-0.4, 0.4)),
        st.tuples(st.floats(-40, 40), st.floats(-40, 40)),
        st.floats(0.6, 1.5),
    ),
    min_size=1,
    max_size=3,
)


@settings(max_examples=25, deadline=None)
@given(moves=MOVES)
def test_torch_carries_as_opencv_does(
    layers: PortraitLayers, moves: list[tuple[float, tuple[float, float, float], tuple[float, float], float]]
) -> None:
    targets = np.stack(
        [
            (expressed(opening, turn=turn) - (SIZE / 2, SIZE / 2, 0)) * scale + (SIZE / 2 + x, SIZE / 2 + y, 0)
            for opening, turn, (x, y), scale in moves
        ]
    )
    expected = layers.carry(targets)
    with pytest.MonkeyPatch.context() as patch:
        with_torch(patch)
        frames, validity = layers.on("cpu").carry_all(targets)
    assert_alike(frames.numpy(), expected.frames)
    np.testing.assert_allclose(validity.numpy(), expected.validity, atol=0.02)


def test_frames_are_the_same_one_by_one_and_together_and_without_validity(
    layers: PortraitLayers, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets = np.stack([expressed(opening, turn=(0, opening - 0.5, 0)) for opening in (0.0, 0.3, 0.6, 0.9, 1.0)])
    for by in ("opencv", "torch"):
        if by == "torch":
            with_torch(monkeypatch)
            monkeypatch.setattr(resampling, "_PIXELS_AT_ONCE", 2 * SIZE * SIZE)
        made = layers.on("cpu")
        assert made.frames_at_once == (1 if by == "opencv" else 2)
        together = [frames for frames, seen in made.carry(targets, validity=False) if seen is None]
        alone = [made.carry_all(target[None])[0] for target in targets]
        assert_alike(torch.cat(together).numpy(), torch.cat(alone).numpy())


def test_a_change_is_laid_over_with_torch_as_with_opencv(
    layers: PortraitLayers, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, rest = layers.image, expressed(0.5)
    small = image[30:206, 40:216].reshape(88, 2, 88, 2, 3).mean(axis=(1, 3)).round().astype(np.uint8)
    framed = PortraitLayers.of(small, (rest - (40, 30, 0)) / 2, np.ones((88, 88), np.float32))
    targets = (np.stack([expressed(0.2), expressed(0.9, turn=(0.2, 0.3, 0))]) - (40, 30, 0)) / 2
    generated = np.random.default_rng(0).integers(0, 256, (2, 88, 88, 3)).astype(np.uint8)

    def finished() -> np.ndarray:
        everyone = np.ones((SIZE, SIZE), np.float32)
        window, size = (40, 30, 176, 176), (SIZE, SIZE)
        whole = FullSize.of(image, rest, everyone, window=window, framed=framed, size=size)
        return np.stack(list(whole.frames(targets, generated)))

    expected = finished()
    with_torch(monkeypatch)
    assert_alike(finished(), expected)


def test_a_device_that_torch_cannot_sample_on_leaves_carrying_to_the_processor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert isinstance(resampler_for("cpu"), OpenCVResampler)
    assert isinstance(resampler_for("meta"), TorchResampler)  # a device like a GPU, which only plans

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("Unsupported Border padding mode")

    monkeypatch.setattr(resampling.F, "grid_sample", refuse)
    made = resampler_for("meta")
    assert isinstance(made, OpenCVResampler) and made.device.type == "cpu"


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_carries_as_the_processor_does(layers: PortraitLayers) -> None:
    targets = np.stack([expressed(opening, turn=(0.1, opening - 0.5, 0)) for opening in (0.0, 0.4, 1.0)])
    frames, validity = layers.on("cuda").carry_all(targets)
    assert frames.is_cuda and validity.is_cuda
    assert_alike(frames.cpu().numpy(), layers.carry(targets).frames)
