"""Stable Diffusion's autoencoder in diffusers' names, older and newer ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..header import Header
from .piece import Piece, numbered

PARTS = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.")
_MARK = "encoder.down_blocks.0.resnets.0.conv1.weight"
_OLD_NAMES = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}


def pieces(header: Header) -> list[Piece]:
    """The autoencoder of a file in diffusers' names; none where there is none."""
    names = {_new_name(key): key for key in header.shapes if key.startswith(PARTS)}
    return [describe(header, names, "diffusers names")] if _MARK in names else []


def describe(header: Header, names: Mapping[str, str], naming: str) -> Piece:
    """An autoencoder from its tensors' diffusers names, wherever they come from."""
    facts = _facts({name: header.shapes[key] for name, key in names.items()})
    ours = {f"vae.{name}": key for name, key in names.items()}
    return Piece("autoencoder", f"Stable Diffusion autoencoder (VAE), {naming}", header, ours, facts)


def _new_name(key: str) -> str:
    for old, new in _OLD_NAMES.items():
        if f".attentions.0{old}" in key:
            return key.replace(old, new)
    return key


def _facts(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Keyword arguments of diffusers' AutoencoderKL; the groups cannot be told, SD1.5's stand in."""
    names = dict.fromkeys(shapes, "")
    levels = numbered(names, "encoder.down_blocks.", ".resnets.0.conv1.weight")
    widths = [shapes[f"encoder.down_blocks.{i}.resnets.0.conv1.weight"][0] for i in range(levels)]
    return {
        "in_channels": 3,
        "out_channels": 3,
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "block_out_channels": widths,
        "layers_per_block": numbered(names, "encoder.down_blocks.0.resnets.", ".conv1.weight"),
        "latent_channels": shapes.get("decoder.conv_in.weight", (0, 0))[1],
        "norm_num_groups": 32,
    }
