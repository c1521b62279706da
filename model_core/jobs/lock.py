"""A folder that one process at a time works in. The system frees it with the process, however that ends."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from ..errors import InputError

LOCK = "lock"
"""The name of the file that is locked."""


@contextlib.contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Make the folder where it is missing, and hold it for the block.

    Raises:
        InputError: another process holds it; the message names that process.
        OSError: the folder cannot be made or written.
    """
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            file = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT)
        except FileNotFoundError:
            continue  # its owner has just finished and taken the folder away
        if not _taken(file):
            holder = os.read(file, 32).decode(errors="replace").strip()
            os.close(file)
            raise InputError(
                f"{folder}: another process ({holder or 'unknown'}) is at work on this video; wait for it, or give "
                "another output"
            )
        # what was locked may be the file of an owner who has finished meanwhile: then it is no longer there
        if _is_at(file, folder / LOCK):
            break
        os.close(file)
    try:
        os.ftruncate(file, 0)
        os.write(file, str(os.getpid()).encode())
        yield
    finally:
        os.close(file)


def _taken(file: int) -> bool:
    """Lock an open file without waiting."""
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(file, 1024, os.SEEK_SET)  # beyond the process id, which others may read
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
            os.lseek(file, 0, os.SEEK_SET)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False
