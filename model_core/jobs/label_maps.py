"""Label maps of a long video on disk: without loss some twenty kilobytes each, read one at a time.

A clip's worth of them does not fit into memory. While the face is followed, each is stood in for by a ticket that says
where it lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

_BYTES, _ENDS = "label_maps", "label_ends"


def pack(maps: Sequence[np.ndarray]) -> dict[str, Tensor]:
    """Tensors that hold label maps (H, W) uint8 as PNG, for a safetensors file."""
    parts = [cv2.imencode(".png", labels)[1].ravel() for labels in maps]
    ends = np.cumsum([len(part) for part in parts])
    return {_BYTES: torch.from_numpy(np.concatenate(parts)), _ENDS: torch.from_numpy(ends)}


def tickets(tensors: dict[str, Tensor], *, block: int) -> list[np.ndarray | None]:
    """One ticket, (1, 2) int64 of block and place in it, for each label map of a block; of none, none."""
    if _ENDS not in tensors:
        return []
    return [np.array([[block, place]], dtype=np.int64) for place in range(len(tensors[_ENDS]))]


def read(ticket: np.ndarray, blocks: dict[int, Path]) -> np.ndarray:
    """The label map (H, W) uint8 of a ticket.

    Args:
        blocks: the safetensors file of each block.
    """
    block, place = np.asarray(ticket).ravel().tolist()
    with safe_open(str(blocks[block]), framework="np") as file:
        ends = file.get_slice(_ENDS)[max(place - 1, 0) : place + 1]
        start = int(ends[0]) if place else 0
        coded = file.get_slice(_BYTES)[start : int(ends[-1])]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_UNCHANGED))
