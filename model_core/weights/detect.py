"""Whose file is it? A look at a file's header, cheap enough for folders full of checkpoints."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from ..errors import CheckpointError, ModelNotFoundError
from .io import read_metadata

CONFIG_KEY = "vividportraits.config"
"""The metadata key under which a model file carries its config."""


def holds_portrait_model(path: Path) -> bool:
    """Whether a .safetensors file is one of this project's models; unreadable files are not."""
    try:
        state = path.stat()
    except OSError:
        return False
    return _carries_config(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=4096)  # folders are listed again and again; a header of a network drive is slow
def _carries_config(path: Path, changed: int, size: int) -> bool:
    try:
        return CONFIG_KEY in read_metadata(path)
    except (CheckpointError, ModelNotFoundError):
        return False
