"""AnimateAnyone's PoseGuider, which is also FollowYourEmoji's landmark guider and this project's own."""

from __future__ import annotations

import re

from ..header import Header
from .piece import Piece

_MARK = re.compile(r"(.*?)blocks\.0\.weight")
_KEY = re.compile(r"(conv_in|conv_out|blocks\.\d+)\.(weight|bias)")


def pieces(header: Header) -> list[Piece]:
    """The PoseGuider of a file, under any one prefix; none where there is none."""
    for key in header.shapes:
        match = _MARK.fullmatch(key)
        prefix = match[1] if match else None
        if prefix is not None and {f"{prefix}conv_in.weight", f"{prefix}conv_out.weight"} <= header.shapes.keys():
            names = {k.removeprefix(prefix): k for k in header.shapes if k.startswith(prefix)}
            names = {name: k for name, k in names.items() if _KEY.fullmatch(name)}
            return [Piece("pose_guider", "PoseGuider", header, names, _facts(header, prefix, len(names)))]
    return []


def _facts(header: Header, prefix: str, count: int) -> dict[str, tuple[int, ...] | int]:
    """Widths: of the first convolution, then of every second block, which halves the picture."""
    shapes = header.shapes
    halvings = (count - 4) // 4  # two ends and pairs of blocks, each of a weight and a bias
    blocks = [f"{prefix}blocks.{2 * i + 1}.weight" for i in range(halvings)]
    widths = [shapes[key][0] for key in (f"{prefix}conv_in.weight", *blocks) if key in shapes]
    return {
        "pose_guider_channels": tuple(widths),
        "in_channels": shapes[f"{prefix}conv_in.weight"][1],
        "out_channels": shapes[f"{prefix}conv_out.weight"][0],
    }
