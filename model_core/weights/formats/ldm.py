"""CompVis' names: Stable Diffusion as a single file, UNet and autoencoder, at any width and depth."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..header import Header
from . import autoencoder, unet
from .piece import Piece

UNET = "model.diffusion_model."
VAE = "first_stage_model."
IGNORED = {
    "cond_stage_model.": "the text encoder",
    "model_ema.": "averaged weights beside the plain ones",
    "first_stage_model.loss.": "the autoencoder's training loss",
    "loss.": "the autoencoder's training loss",
}
"""Key prefixes that these files carry and nothing here needs."""

_SCHEDULE = re.compile(
    r"betas|alphas_cumprod(_prev)?|(sqrt|log)_(one_minus_|recip)?m?1?_?alphas_cumprod|posterior_\w+|logvar|lvlb_weights"
    r"|scale_factor|model_ema\w*|global_step"
)
_RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "emb_layers.1": "time_emb_proj",
    "skip_connection": "conv_shortcut",
}
_ENDS = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}
_MIDDLE = {"0": "mid_block.resnets.0", "1": "mid_block.attentions.0", "2": "mid_block.resnets.1"}
_VAE_NAMES = (
    (re.compile(r"\.down\.(\d+)\.block\."), r".down_blocks.\1.resnets."),
    (re.compile(r"\.down\.(\d+)\.downsample\."), r".down_blocks.\1.downsamplers.0."),
    (re.compile(r"\.mid\.block_1\."), ".mid_block.resnets.0."),
    (re.compile(r"\.mid\.block_2\."), ".mid_block.resnets.1."),
    (re.compile(r"\.mid\.attn_1\.norm\."), ".mid_block.attentions.0.group_norm."),
    (re.compile(r"\.mid\.attn_1\.([qkv])\."), r".mid_block.attentions.0.to_\1."),
    (re.compile(r"\.mid\.attn_1\.proj_out\."), ".mid_block.attentions.0.to_out.0."),
    (re.compile(r"\.nin_shortcut\."), ".conv_shortcut."),
    (re.compile(r"coder\.norm_out\."), "coder.conv_norm_out."),
)
_VAE_UP = re.compile(r"decoder\.up\.(\d+)\.(block|upsample)\.")


def pieces(header: Header) -> list[Piece]:
    """UNet and autoencoder of a single file, or an autoencoder alone; none where there are none."""
    found = []
    names = _unet_names([key.removeprefix(UNET) for key in header.shapes if key.startswith(UNET)])
    if "down_blocks.0.resnets.0.conv1.weight" in names:
        keys = {name: UNET + key for name, key in names.items()}
        found.append(unet.describe(header, keys, "in a single file"))
    prefix = VAE if f"{VAE}encoder.conv_in.weight" in header.shapes else ""
    if f"{prefix}encoder.down.0.block.0.conv1.weight" in header.shapes:
        inner = [key.removeprefix(prefix) for key in header.shapes if key.startswith(prefix) and not _unneeded(key)]
        wanted = [key for key in inner if key.startswith(autoencoder.PARTS)]
        vae_names = {name: prefix + key for name, key in _vae_names(wanted).items()}
        found.append(autoencoder.describe(header, vae_names, "CompVis' names"))
    return found


def ignored(header: Header) -> dict[str, str]:
    """Keys of a single file that nothing here needs, and what they are."""
    known = {key: why for key in header.shapes for start, why in IGNORED.items() if key.startswith(start)}
    return {**known, **{key: "the noise schedule" for key in header.shapes if _SCHEDULE.fullmatch(key)}}


def _unneeded(key: str) -> bool:
    return key.startswith(tuple(IGNORED))


def _unet_names(keys: Iterable[str]) -> dict[str, str]:
    """diffusers' name of every key that follows the rules, to the key; odd keys keep their own name."""
    keys = list(keys)
    ends = sorted(int(m[1]) for key in keys if (m := re.fullmatch(r"input_blocks\.(\d+)\.0\.op\.weight", key)))
    layers = ends[0] - 1 if ends else max(_numbers(keys, "input_blocks"), default=1)
    # an upsampler follows the attention where there is one, so its own number says nothing
    upsampler = re.compile(r"output_blocks\.\d+\.[12]\.conv\.")
    return {_unet_name(key, layers, upsampler): key for key in keys}


def _unet_name(key: str, layers: int, upsampler: re.Pattern[str]) -> str:
    for ours, theirs in ((new, old) for old, new in _ENDS.items()):
        if key.startswith(f"{theirs}."):
            return ours + key.removeprefix(theirs)
    side, _, rest = key.partition(".")
    number, _, rest = rest.partition(".")
    if side == "middle_block" and number in _MIDDLE:
        return f"{_MIDDLE[number]}.{_resnet_name(rest)}"
    layer, _, rest = rest.partition(".")
    if side == "input_blocks" and number.isdigit():
        level, place = divmod(int(number) - 1, layers + 1)
        if rest.startswith("op."):
            return f"down_blocks.{level}.downsamplers.0.conv.{rest.removeprefix('op.')}"
        return f"down_blocks.{level}.{_layer_kind(layer)}.{place}.{_resnet_name(rest)}"
    if side == "output_blocks" and number.isdigit():
        level, place = divmod(int(number), layers + 1)
        if upsampler.match(key):
            return f"up_blocks.{level}.upsamplers.0.{rest}"
        return f"up_blocks.{level}.{_layer_kind(layer)}.{place}.{_resnet_name(rest)}"
    return key


def _layer_kind(layer: str) -> str:
    return "resnets" if layer == "0" else "attentions"


def _resnet_name(rest: str) -> str:
    for old, new in _RESNET.items():
        if rest.startswith(f"{old}."):
            return new + rest.removeprefix(old)
    return rest


def _numbers(keys: Iterable[str], side: str) -> list[int]:
    return [int(m[1]) for key in keys if (m := re.match(rf"{side}\.(\d+)\.", key))]


def _vae_names(keys: Iterable[str]) -> dict[str, str]:
    keys = list(keys)
    levels = 1 + max((int(m[1]) for key in keys if (m := _VAE_UP.match(key))), default=-1)
    return {_vae_name(key, levels): key for key in keys}


def _vae_name(key: str, levels: int) -> str:
    def up(match: re.Match[str]) -> str:  # CompVis counts the decoder's levels from its end
        kind = "resnets" if match[2] == "block" else "upsamplers.0"
        return f"decoder.up_blocks.{levels - 1 - int(match[1])}.{kind}."

    name = _VAE_UP.sub(up, key)
    for pattern, new in _VAE_NAMES:
        name = pattern.sub(new, name)
    return name
