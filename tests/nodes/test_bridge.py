"""ComfyUI's pictures, memory and progress as the library sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch


@pytest.fixture(scope="module")
def bridge(comfy):
    return comfy.module("nodes.bridge")


@pytest.fixture(scope="module")
def event(comfy):
    return comfy.module("model_core.types").StepEvent


def test_image_goes_there_and_back(bridge):
    image = torch.rand(2, 5, 7, 3)
    frames = bridge.from_image(image, name="image")
    assert frames.shape == (2, 3, 5, 7)
    assert frames[1, 2, 3, 4] == pytest.approx(image[1, 3, 4, 2].item() * 2 - 1)
    assert torch.allclose(bridge.to_image(frames), image, atol=1e-6)


def test_overshoot_is_clamped_in_both_directions(bridge):
    image = torch.tensor([-0.2, 0.5, 1.3]).reshape(1, 1, 1, 3)
    assert bridge.from_image(image, name="image").flatten().tolist() == [-1.0, 0.0, 1.0]
    frames = torch.tensor([-1.5, 0.0, 1.5]).reshape(1, 3, 1, 1)
    assert bridge.to_image(frames).flatten().tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.zeros(0, 8, 8, 3), "portrait: is empty"),
        (torch.zeros(8, 8, 3), "portrait: is empty"),
        (torch.zeros(1, 0, 8, 3), "portrait: is empty"),
        (torch.zeros(1, 8, 8, 1), r"portrait: 1 channel\(s\) where 3"),
        (torch.full((2, 8, 8, 4), torch.nan), "portrait: NaN or infinite pixels in frame 0, 1"),
        (torch.full((1, 8, 8, 3), torch.nan), "portrait: NaN or infinite pixels in frame 0"),
        (torch.full((1, 8, 8, 3), torch.inf), "portrait: NaN or infinite pixels in frame 0"),
    ],
)
def test_what_is_no_picture_is_refused_by_name(bridge, image, message):
    with pytest.raises(bridge.InputError, match=message):
        bridge.from_image(image, name="portrait")


def test_alpha_of_frames_is_dropped_and_the_log_says_so(bridge, caplog):
    image = torch.rand(2, 5, 7, 4)
    with caplog.at_level("INFO"):
        frames = bridge.from_image(image, name="driving frames")
    assert torch.equal(frames, bridge.from_image(image[..., :3], name="driving frames"))
    assert "driving frames has an alpha channel" in caplog.text


def test_a_cut_out_portrait_lies_on_white_and_keeps_its_alpha(bridge):
    image = torch.full((1, 4, 6, 4), 0.25)
    image[..., 3] = torch.tensor([0.0, 0.0, 0.5, 0.5, 1.0, 1.0])
    frames, alpha = bridge.from_cut_out(image, name="portrait")
    assert alpha.shape == (1, 1, 4, 6)
    assert torch.equal(alpha[0, 0], image[0, ..., 3])
    assert frames[0, :, 0, 0].tolist() == [1.0] * 3
    assert frames[0, :, 0, 5].tolist() == [-0.5] * 3
    assert frames[0, :, 0, 3].tolist() == [0.25] * 3


def test_an_alpha_channel_that_hides_nothing_is_no_mask(bridge):
    image = torch.cat([torch.rand(1, 4, 6, 3), torch.ones(1, 4, 6, 1)], dim=-1)
    frames, alpha = bridge.from_cut_out(image, name="portrait")
    assert alpha is None
    assert torch.equal(frames, bridge.from_image(image[..., :3], name="portrait"))
    image[..., 3] = 0
    with pytest.raises(bridge.InputError, match="portrait: is wholly transparent"):
        bridge.from_cut_out(image, name="portrait")


@pytest.mark.parametrize("count", [1, 3])
def test_masks_serve_one_or_all_frames(bridge, count):
    masks = bridge.from_masks(torch.rand(count, 4, 9), frames=3, size=(8, 6), name="mask")
    assert masks.shape == (count, 1, 8, 6)
    with pytest.raises(bridge.InputError, match="mask: 2 masks for 3 frames"):
        bridge.from_masks(torch.rand(2, 4, 9), frames=3, size=(8, 6), name="mask")


def test_mask_of_another_size_is_scaled(bridge):
    mask = torch.zeros(1, 4, 4)
    mask[:, :, 2:] = 1
    scaled = bridge.from_mask(mask, size=(8, 6), name="mask")
    assert scaled.shape == (1, 1, 8, 6)
    assert scaled[..., 0].eq(0).all()
    assert scaled[..., -1].eq(1).all()


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.zeros(1, 64, 64), "mask: is empty.*Load Image"),
        (torch.ones(3, 4, 4), "mask: 3 masks"),
        (torch.full((4, 4), torch.nan), "mask: NaN"),
    ],
)
def test_what_is_no_mask_of_a_person_is_refused(bridge, mask, message):
    with pytest.raises(bridge.InputError, match=message):
        bridge.from_mask(mask, size=(4, 4), name="mask")


@dataclass(frozen=True)
class Encoded:
    layers: dict[str, tuple[torch.Tensor, torch.Tensor]]
    index: torch.Tensor
    name: str
    nothing: None = None


def test_moving_reaches_every_tensor_and_keeps_whole_numbers(bridge):
    value = Encoded({"a": (torch.ones(2), torch.zeros(1))}, torch.tensor([3]), "kept")
    moved: Any = bridge.memory._move(value, torch.device("meta"), torch.float16)
    assert [tensor.dtype for tensor in moved.layers["a"]] == [torch.float16, torch.float16]
    assert {tensor.device.type for tensor in (*moved.layers["a"], moved.index)} == {"meta"}
    assert (moved.index.dtype, moved.name, moved.nothing) == (torch.int64, "kept", None)


def test_progress_reaches_the_end_once_and_never_goes_back(host, bridge, event, hosted_model):
    observe = bridge.SamplingObserver(hosted_model.model, chunks=2)
    latents = torch.zeros(1, 5, 48, 8, 8)
    for _ in range(2):
        for step, windows in enumerate((2, 3)):  # cyclic overlap: not the same number in every step
            for window in range(1, windows + 1):
                observe(event(step, 2, window, windows, False, latents))
            observe(event(step, 2, windows, windows, True, latents))
    done = [value / total for value, total, _ in host.progress]
    assert done == sorted(done)
    assert done[-1] == 1.0
    assert done.count(1.0) == 2  # the last window, then its step
    previews = [preview for _, _, preview in host.progress if preview]
    assert len(previews) == 4
    assert previews[0][1].size == (32, 32)


def test_cancel_stops_at_the_next_window(host, bridge, event, hosted_model, interrupted):
    observe = bridge.SamplingObserver(hosted_model.model, chunks=1)
    host.cancelled = True
    with pytest.raises(interrupted):
        observe(event(0, 2, 1, 2, False, torch.zeros(1, 1, 48, 8, 8)))


def test_models_of_the_folder_are_listed_after_the_bundled_ones(host, bridge, hosted_model):
    assert bridge.model_names()[-1] == "tiny.safetensors"
    assert bridge.model_path("tiny.safetensors").is_file()
    assert bridge.model_path("gone.safetensors") is None


def test_more_frames_ask_for_more_memory(host, bridge, hosted_model):
    bridge.on_device(hosted_model, frames=1)
    bridge.on_device(hosted_model, frames=16)
    (_, one), (_, sixteen) = host.loaded
    assert 0 < one < sixteen == 16 * one
