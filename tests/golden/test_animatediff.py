"""AnimateDiff's UNet from a Stable Diffusion single file and a motion module file: the same numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from golden_set import GoldenSet, assert_close, golden_sets
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from model_core.autoencoders import KLAutoencoder, build_autoencoder
from model_core.backbones.unet import UNetConfig
from model_core.backbones.unet.blocks import temporal_layer
from model_core.backbones.unet.networks import Denoiser, Seen
from model_core.weights.load import load_sources, read_source
from model_core.weights.plan import Survey, survey

ANIMATEDIFF = "guoyww/AnimateDiff"
of_animatediff = pytest.mark.parametrize(
    "golden", golden_sets(ANIMATEDIFF), indirect=True, ids=lambda folder: folder.name
)


V1_LENGTH = 24
"""Frames that the position tables of v1 files know."""


def found_tables(golden: GoldenSet) -> dict[str, Tensor]:
    """The position tables of the set's v2 file."""
    (path,) = golden.folder.glob("mm_*.safetensors")
    return {key: value for key, value in load_file(path).items() if key.endswith(".pe")}


def motion_file(golden: GoldenSet, version: str, folder: Path) -> Path:
    """The set's v2 file, or the same weights in the form of a v3 or v1 file."""
    (path,) = golden.folder.glob("mm_*.safetensors")
    tensors = load_file(path)
    if version != "v2":
        tensors = {key: value for key, value in tensors.items() if not key.startswith("mid_block")}
    if version == "v1":
        tensors = {k: v[:, :V1_LENGTH].contiguous() if k.endswith(".pe") else v for k, v in tensors.items()}
    save_file(tensors, folder / f"{version}.safetensors")
    return folder / f"{version}.safetensors"


def surveyed(golden: GoldenSet, *files: Path) -> Survey:
    return survey([golden.folder / "base_ldm.safetensors", *files], overrides=golden.overrides)


def read_denoiser(found: Survey) -> Denoiser:
    denoiser = Denoiser(UNetConfig(**found.config.backbone)).eval().requires_grad_(False)
    names = [name for source in found.sources for name in source.names if name.startswith("backbone.denoiser.")]
    dtypes = dict.fromkeys(names, torch.float32)
    tensors = dict(item for source in found.sources for item in read_source(source, dtypes=dtypes))
    denoiser.load_state_dict({name.removeprefix("backbone.denoiser."): tensors[name] for name in names}, strict=True)
    return denoiser


@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
@of_animatediff
def test_every_version_predicts_the_same(golden: GoldenSet, version: str, tmp_path: Path) -> None:
    found = surveyed(golden, motion_file(golden, version, tmp_path))
    backbone = UNetConfig(**found.config.backbone)
    assert (backbone.motion_mid_block, backbone.joint_norm) == (version == "v2", version == "v1")
    (table,) = {value.shape[1] for key, value in found_tables(golden).items()}
    assert backbone.motion_max_length == (min(table, V1_LENGTH) if version == "v1" else table)
    denoiser, io = read_denoiser(found), golden.io
    noisy = io["x"].transpose(1, 2)
    times = io["t"].expand(noisy.shape[:2])
    seen = [Seen(denoiser.project_prompt(io["encoder_hidden_states"]))]
    with torch.no_grad():
        (made,) = denoiser(denoiser.stem(noisy, times), seen, frames=noisy.shape[1])
    assert_close(made.transpose(1, 2), io[f"eps_{version}"])


@of_animatediff
def test_single_temporal_layers(golden: GoldenSet, tmp_path: Path) -> None:
    denoiser = read_denoiser(surveyed(golden, motion_file(golden, "v2", tmp_path)))
    names = [key for key in golden.io if key.startswith("mm_in.")]
    assert len(names) >= 3
    for name in names:
        hidden: Tensor = golden.io[name]
        module = denoiser.motion.get_submodule(name.removeprefix("mm_in."))
        made = temporal_layer(module, hidden[0].transpose(0, 1), hidden.shape[2])
        assert_close(made.transpose(0, 1)[None], golden.io[name.replace("mm_in", "mm_out")])


@of_animatediff
def test_the_autoencoder_of_the_single_file(golden: GoldenSet) -> None:
    found = surveyed(golden)
    autoencoder = build_autoencoder(found.config.autoencoder)
    assert isinstance(autoencoder, KLAutoencoder)
    (source,) = (source for source in found.sources if any(name.startswith("autoencoder.") for name in source.names))
    load_sources(nn.ModuleDict({"autoencoder": autoencoder}), [source], name="the single file")
    io, scale = golden.io, autoencoder.scaling_factor
    with torch.no_grad():
        posterior = autoencoder.vae.encode(io["vae_image"]).latent_dist
        assert_close(autoencoder.encode(io["vae_image"]) / scale, io["vae_mean"])
        assert_close(posterior.logvar, io["vae_logvar"])
        assert_close(autoencoder.decode(io["vae_z"] * scale), io["vae_decoded"].clamp(-1, 1))
