"""AnimateDiff's temporal layers: v1, v2 and v3 files, the same inside AnimateAnyone's and FollowYourEmoji's UNets, and
diffusers' MotionAdapter, whose names are this project's."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from ..header import Header
from .piece import Piece

MARK = "motion_modules."

_TABLES = ("pos_encoder.pe", "pos_embed.pe")
_LAYER = re.compile(r"(.*motion_modules\.\d+\.)(temporal_transformer\.)?(.*)")
_RENAMES = (  # AnimateDiff's names inside a transformer block, and diffusers'
    (re.compile(r"\.attention_blocks\.0\."), ".attn1."),
    (re.compile(r"\.attention_blocks\.1\."), ".attn2."),
    (re.compile(r"\.norms\.0\."), ".norm1."),
    (re.compile(r"\.norms\.1\."), ".norm2."),
    (re.compile(r"\.ff_norm\."), ".norm3."),
)
_V1_LENGTH = 24
_USUAL_LENGTH = 32


def pieces(header: Header) -> list[Piece]:
    """The temporal layers of a file; none where there are none."""
    keys = [key for key in header.shapes if MARK in key]
    if not keys:
        return []
    tables = tuple(key for key in keys if key.endswith(_TABLES))
    names = {our_name(key): key for key in keys if key not in tables}
    facts = _facts({name: header.shapes[key] for name, key in names.items()})
    facts["alone"] = len(keys) == len(header.shapes)
    lengths = {header.shapes[key][1] for key in tables if len(header.shapes[key]) == 3}
    facts["motion_max_length"] = min(lengths, default=_USUAL_LENGTH)
    diffusers = not any(".temporal_transformer." in key for key in keys)
    facts["has_table"] = bool(tables) or diffusers
    # v1 was trained with normalisation over all frames; nothing but its short table tells it from v3
    v1 = not facts["motion_mid_block"] and not diffusers and facts["motion_max_length"] == _V1_LENGTH
    facts["joint_norm"] = v1
    version = "v2" if facts["motion_mid_block"] else "v1" if v1 else "v3"
    title = "diffusers MotionAdapter" if diffusers else f"AnimateDiff temporal layers, {version}"
    return [Piece("motion", title, header, names, facts, tables)]


def our_name(key: str) -> str:
    """diffusers' MotionAdapter name of a temporal layer's tensor, behind ``motion.``."""
    match = _LAYER.fullmatch(key)
    if match is None or match[2] is None:
        return f"motion.{key}"
    inner = match[3]
    for pattern, name in _RENAMES:
        inner = pattern.sub(name, inner)
    return f"motion.{match[1]}{inner}"


def _facts(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    widths = [shapes.get(f"motion.down_blocks.{i}.motion_modules.0.norm.weight", (0,)) for i in range(_levels(shapes))]
    return {
        "block_out_channels": tuple(width[0] for width in widths),
        "motion_mid_block": any(name.startswith("motion.mid_block.") for name in shapes),
    }


def _levels(names: Iterable[str]) -> int:
    found = (re.match(r"motion\.down_blocks\.(\d+)\.", name) for name in names)
    return 1 + max((int(match[1]) for match in found if match), default=-1)


def position_table(length: int, width: int) -> Tensor:
    """The sinusoids that every AnimateDiff file carries and no code reads from it: (1, length, width)."""
    place = torch.arange(length)[:, None]
    rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    table = torch.zeros(1, length, width)
    table[0, :, 0::2] = torch.sin(place * rate)
    table[0, :, 1::2] = torch.cos(place * rate)[:, : width // 2]
    return table


def is_position_table(table: Tensor) -> bool:
    """Whether a file's table is the one that is computed here, up to a 16-bit file's rounding."""
    if table.dim() != 3 or table.shape[0] != 1:
        return False
    return torch.allclose(table.float(), position_table(*table.shape[1:]), atol=1e-2, rtol=0)
