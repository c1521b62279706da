"""A Stable Diffusion 1.5 UNet in diffusers' names: SD1.5 itself, AnimateAnyone's and FollowYourEmoji's networks.

AnimateAnyone's and FollowYourEmoji's files may also hold temporal layers (animatediff.py) and FollowYourEmoji's a
``clip_fc``, the projection of CLIP's tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..header import Header
from .animatediff import MARK as MOTION
from .piece import Piece, numbered

_MARK = "down_blocks.0.resnets.0.conv1.weight"
_PARTS = ("conv_in.", "time_embedding.", "down_blocks.", "mid_block.", "up_blocks.", "conv_norm_out.", "conv_out.")
_PROJECTION = "clip_fc."
_AFTER_LAST_NORM = ("attn1", "norm2", "attn2", "norm3", "ff")
_UP_ATTENTION = re.compile(r"up_blocks\.(\d+)\.attentions\.(\d+)\.")


def pieces(header: Header) -> list[Piece]:
    """The UNet of a file in diffusers' names; none where there is none."""
    names = {key: key for key in header.shapes if key.startswith((*_PARTS, _PROJECTION)) and MOTION not in key}
    return [describe(header, names, "diffusers names")] if _MARK in names else []


def describe(header: Header, names: Mapping[str, str], naming: str) -> Piece:
    """A UNet from its tensors' diffusers names, wherever they come from."""
    facts = _facts({name: header.shapes[key] for name, key in names.items()})
    kind = "Stable Diffusion UNet" if facts["has_output"] else "ReferenceNet (a UNet without output layers)"
    if facts["token_width"]:
        kind = "FollowYourEmoji's denoiser" if facts["has_output"] else "FollowYourEmoji's ReferenceNet"
    renamed = {_ours(name): key for name, key in names.items()}
    return Piece("unet", f"{kind}, {naming}", header, renamed, facts)


def _ours(name: str) -> str:
    if name.startswith(_PROJECTION):
        return "prompt_projection." + name.removeprefix(_PROJECTION)
    return f"unet.{name}"


def _facts(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    names = dict.fromkeys(shapes, "")
    down = numbered(names, "down_blocks.", ".resnets.0.conv1.weight")
    up = numbered(names, "up_blocks.", ".resnets.0.conv1.weight")
    projection = shapes.get("clip_fc.weight")
    prompt = next((shape for name, shape in shapes.items() if name.endswith("attn2.to_k.weight")), None)
    return {
        "block_out_channels": tuple(shapes[f"down_blocks.{i}.resnets.0.conv1.weight"][0] for i in range(down)),
        "layers_per_block": numbered(names, "down_blocks.0.resnets.", ".conv1.weight"),
        "down_attention": tuple(f"down_blocks.{i}.attentions.0.norm.weight" in shapes for i in range(down)),
        "up_attention": tuple(f"up_blocks.{i}.attentions.0.norm.weight" in shapes for i in range(up)),
        "cross_attention_dim": prompt[-1] if prompt else 0,
        "latent_channels": shapes["conv_in.weight"][1] if "conv_in.weight" in shapes else 0,
        "has_output": "conv_out.weight" in shapes,
        "token_width": projection[-1] if projection else 0,  # of the image encoder's states
    }


def never_read(names: Iterable[str]) -> set[str]:
    """The deliberate drops of a ReferenceNet: what it computes after its last self-attention's norm is never read.

    Args:
        names: ``unet.`` and diffusers' names.
    """
    names = list(names)
    last = max(((int(m[1]), int(m[2])) for name in names if (m := _UP_ATTENTION.search(name))), default=None)
    starts = ["unet.conv_norm_out.", "unet.conv_out."]
    if last is not None:
        block, layer = last
        attention = f"unet.up_blocks.{block}.attentions.{layer}"
        starts += [f"{attention}.proj_out.", f"unet.up_blocks.{block}.upsamplers."]
        starts += [f"{attention}.transformer_blocks.0.{module}." for module in _AFTER_LAST_NORM]
        later = {m[1] for name in names if (m := re.match(r"unet\.up_blocks\.(\d+)\.", name)) and int(m[1]) > block}
        starts += [f"unet.up_blocks.{index}." for index in later]
    return {name for name in names if name.startswith(tuple(starts))}
