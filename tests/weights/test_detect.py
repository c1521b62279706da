from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from model_core.errors import CheckpointError
from model_core.weights import detect
from model_core.weights.detect import recognise, recognise_header
from model_core.weights.header import Header
from model_core.weights.io import write_safetensors


@pytest.fixture
def ours(tmp_path):
    return write_safetensors(tmp_path / "ours.safetensors", {"w": torch.zeros(2)}, {detect.CONFIG_KEY: "{}"})


def test_a_model_is_known_by_its_metadata_alone(ours, monkeypatch):
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: pytest.fail("weights were read"))
    assert detect.holds_portrait_model(ours)


def test_foreign_broken_and_absent_files_are_not_ours(tmp_path):
    foreign = write_safetensors(tmp_path / "foreign.safetensors", {"w": torch.zeros(2)}, {"format": "pt"})
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"<html>")
    assert not detect.holds_portrait_model(foreign)
    assert not detect.holds_portrait_model(broken)
    assert not detect.holds_portrait_model(tmp_path / "absent.safetensors")
    assert not detect.holds_portrait_model(tmp_path)


def test_a_header_is_read_once_for_each_version_of_a_file(ours, monkeypatch):
    read = []
    monkeypatch.setattr(detect, "read_metadata", lambda path: read.append(path) or {detect.CONFIG_KEY: "{}"})
    for _ in range(3):
        detect.holds_portrait_model(ours)
    assert read == [ours]
    os.utime(ours, ns=(5, 5))
    detect.holds_portrait_model(ours)
    detect.holds_portrait_model(ours)
    assert read == [ours, ours]


def full_width(shared_folder, name):
    """A file's header as a public model of full size has it."""
    keys = json.loads((shared_folder / "keys" / f"{name}.json").read_text())["keys"]
    shapes = {key: tuple(shape) for key, shape in keys.items()}
    return Header(Path(f"{name}.pth"), shapes, dict.fromkeys(shapes, torch.float16), {})


@pytest.mark.parametrize(
    ("name", "titles"),
    [
        ("moore_reference_unet", ["ReferenceNet (a UNet without output layers), diffusers names"]),
        ("moore_denoising_unet", ["Stable Diffusion UNet, diffusers names"]),
        ("moore_motion_module", ["AnimateDiff temporal layers, v2"]),
        ("moore_reenact_denoising_unet", ["Stable Diffusion UNet, diffusers names", "AnimateDiff temporal layers, v2"]),
        ("moore_reenact_reference_unet", ["Stable Diffusion UNet, diffusers names"]),
        ("fye_unet", ["FollowYourEmoji's denoiser, diffusers names", "AnimateDiff temporal layers, v2"]),
        ("fye_referencenet", ["FollowYourEmoji's ReferenceNet, diffusers names"]),
        ("pose_guider", ["PoseGuider"]),
        ("clip_image_encoder", ["CLIP image encoder, 24 layers of width 1024"]),
        ("sd_vae_diffusers_old_names", ["Stable Diffusion autoencoder (VAE), diffusers names"]),
        ("sd15_ldm_unet", ["Stable Diffusion UNet, in a single file"]),
    ],
)
def test_public_files_of_full_size_are_known_with_their_config(shared_folder, name, titles):
    found = recognise_header(full_width(shared_folder, name))
    assert [piece.title for piece in found.pieces] == titles
    assert found.refusal is None
    assert found.unknown == ()
    facts = {key: value for piece in reversed(found.pieces) for key, value in piece.facts.items()}
    wanted = {
        "block_out_channels": [128, 256, 512, 512] if "vae" in name else (320, 640, 1280, 1280),
        "cross_attention_dim": 768,
        "layers_per_block": 2,
        "latent_channels": 4,
        "down_attention": (True, True, True, False),
        "up_attention": (False, True, True, True),
        "motion_mid_block": True,
        "motion_max_length": 32,
        "pose_guider_channels": (16, 32, 96, 256),
        "num_attention_heads": 16,
        "intermediate_size": 4096,
        "image_size": 224,
        "patch_size": 14,
        "projection_dim": 768,
    }
    assert {key: facts[key] for key in wanted if key in facts} == {key: wanted[key] for key in wanted if key in facts}
    assert len(facts) > 2


def test_unknown_keys_are_kept_apart(tmp_path, public_parts):
    path = write_safetensors(tmp_path / "g.safetensors", {**public_parts["pose_guider"], "colour": torch.zeros(1)})
    assert recognise(path).unknown == ("colour",)


def test_our_own_file_offers_its_pose_guider_only(tmp_path, public_parts):
    tensors = {f"backbone.pose_guider.{key}": value for key, value in public_parts["pose_guider"].items()}
    path = write_safetensors(tmp_path / "own.safetensors", {**tensors, "x": torch.zeros(1)}, {detect.CONFIG_KEY: "{}"})
    found = recognise(path)
    assert found.ours and [piece.part for piece in found.pieces] == ["pose_guider"]
    assert found.pieces[0].names["conv_in.weight"] == "backbone.pose_guider.conv_in.weight"


def test_a_file_of_nothing_known_shows_what_it_holds(tmp_path):
    found = recognise(write_safetensors(tmp_path / "x.safetensors", {"colour.hair": torch.zeros(1)}))
    assert "colour.hair" in found.refusal


@settings(max_examples=200, deadline=None)
@given(data=st.data(), name=st.sampled_from(["denoiser", "reference", "motion", "pose_guider", "image_encoder", "vae"]))
def test_any_shapes_are_recognised_or_a_named_error(public_parts, data, name):
    """Names of a public file with shapes from anywhere: never another exception."""
    shapes = {key: tuple(value.shape) for key, value in public_parts[name].items()}
    for key in data.draw(st.lists(st.sampled_from(sorted(shapes)), max_size=5)):
        shapes[key] = tuple(data.draw(st.lists(st.integers(0, 5), max_size=4)))
    for key in data.draw(st.lists(st.sampled_from(sorted(shapes)), max_size=3)):
        shapes.pop(key, None)
    assume(shapes)
    with suppress(CheckpointError):
        recognise_header(Header(Path("x.pth"), shapes, dict.fromkeys(shapes, torch.float32), {}))
