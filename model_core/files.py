"""Files that are either whole or not there."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic_path(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Write beside ``target`` first, and take its place only when everything went well.

    The partial file is hidden, keeps the suffix (writers choose their format by it), lies in the same folder
    (so the final rename is atomic), and is removed on any exception, ``KeyboardInterrupt`` included. An
    older ``target`` stays untouched until then. The folder is made when it is missing.

    Yields:
        the path to write to.
    Raises:
        OSError: the folder cannot be made or the rename fails.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.stem}.{uuid.uuid4().hex[:8]}{target.suffix}")
    try:
        yield partial
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
