"""What a weights file holds, without reading it: names, shapes and number formats of its tensors."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from ..errors import CheckpointError
from .io import open_weights

_DDP = "module."


@dataclass(frozen=True)
class Header:
    """The list of contents of one weights file.

    Attributes:
        path: the file.
        shapes, dtypes: of its tensors, by key; without a prefix that all keys share.
        metadata: of a safetensors file, else empty.
        prefix: what stands before every key in the file: ``module.``, where training ran on several devices.
        strays: entries that are no tensors, such as a training's ``epoch``.
    """

    path: Path
    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, torch.dtype]
    metadata: Mapping[str, str]
    prefix: str = ""
    strays: tuple[str, ...] = ()

    @property
    def parameters(self) -> int:
        return sum(math.prod(shape) for shape in self.shapes.values())


def read_header(path: str | os.PathLike[str]) -> Header:
    """Read the list of contents of a .safetensors file or a torch pickle; no tensor is read, no code is run.

    Raises:
        ModelNotFoundError: there is no such file.
        CheckpointError: the file is truncated, foreign or empty.
    """
    path = Path(path)
    with open_weights(path) as file:
        shapes, dtypes = file.shapes(), file.dtypes()
        metadata, strays = file.metadata, file.strays
    if not shapes:
        raise CheckpointError(f"{path} holds no tensors. Choose the file with the weights.")
    prefix = _DDP if all(key.startswith(_DDP) for key in shapes) else ""
    start = len(prefix)
    return Header(
        path,
        {key[start:]: shape for key, shape in shapes.items()},
        {key[start:]: dtype for key, dtype in dtypes.items()},
        metadata,
        prefix,
        strays,
    )
