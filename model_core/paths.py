"""Files and folders that a user names, looked at before any work: can they be read, can they be written?

Nothing is made or changed by asking.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

from .errors import InputError, PortraitError

_PARTIAL = 10
"""Characters that ``files.atomic_path`` puts around a name until the file is whole."""


def exists(path: str | os.PathLike[str]) -> bool:
    """Whether something is there; a name that no file can have is none."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def readable_file(path: str | os.PathLike[str], *, name: str, error: type[PortraitError] = InputError) -> Path:
    """The path, unless there is nothing to read: said as it is, so that nobody repairs a file that is whole.

    Args:
        name: of the input, such as "image".
        error: what to raise.
    Raises:
        PortraitError: there is no such file, it is a folder, or it may not be read.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise error(f"{name} {_short(path)}: is a folder; name a file in it")
        if path.is_file():  # a pipe can be opened only once
            with path.open("rb"):
                pass
        elif not path.exists():
            raise error(f"{name} {_short(path)}: no such file; check the path")
    except (OSError, ValueError) as reason:
        raise error(f"{name} {_short(path)}: cannot be opened ({why(reason)}); {_remedy(reason)}") from reason
    return path


def readable_folder(path: str | os.PathLike[str], *, name: str, error: type[PortraitError] = InputError) -> Path:
    """The path of a folder that can be listed; errors as ``readable_file``."""
    path = Path(path)
    try:
        if not path.is_dir():
            found = "is no folder" if path.exists() else "no such folder"
            raise error(f"{name} {_short(path)}: {found}; give a folder that is there")
        with os.scandir(path):
            pass
    except (OSError, ValueError) as reason:
        raise error(f"{name} {_short(path)}: cannot be listed ({why(reason)}); {_remedy(reason)}") from reason
    return path


def writable_file(path: str | os.PathLike[str], *, name: str, suffixes: Collection[str] = ()) -> Path:
    """The path, unless a file cannot be written there; folders that are missing will be made.

    Args:
        name: of the output, such as "--sheet".
        suffixes: endings that it may have, in lower case; empty for any.
    Raises:
        InputError: says what is in the way.
    """
    path = Path(path)
    if suffixes and path.suffix.lower() not in suffixes:
        raise InputError(f"{name} {_short(path)}: unknown type {path.suffix!r}; use {', '.join(sorted(suffixes))}")
    with _reasons(path, name=name):
        if path.is_dir():
            raise InputError(f"{name} {_short(path)}: is a folder; name a file")
        _check_place(path.parent, path.name, room=_PARTIAL)
    return path


def writable_folder(path: str | os.PathLike[str], *, name: str) -> Path:
    """The path, unless it is a file or files cannot be written in it; a missing folder will be made.

    Raises:
        InputError: says what is in the way.
    """
    path = Path(path)
    with _reasons(path, name=name):
        if path.exists() and not path.is_dir():
            raise InputError(f"{name} {_short(path)}: is a file; name a folder")
        _check_place(path, "", room=0)
    return path


@contextlib.contextmanager
def writing(path: str | os.PathLike[str], *, error: type[PortraitError] = InputError) -> Iterator[None]:
    """What the system refuses while a file or folder is written becomes an error that names it."""
    try:
        yield
    except OSError as reason:
        raise error(f"{path}: cannot be written ({why(reason)}); free some space or choose another folder") from reason


def why(reason: Exception) -> str:
    """The system's own words, without numbers and paths."""
    return getattr(reason, "strerror", None) or str(reason)


@contextlib.contextmanager
def _reasons(path: Path, *, name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as reason:
        raise InputError(
            f"{name} {_short(path)}: cannot be written there ({why(reason)}); choose another folder or name"
        ) from reason


def _check_place(folder: Path, name: str, *, room: int) -> None:
    """Raise OSError where the nearest folder that exists cannot be written, or a name is longer than it takes."""
    missing = [name]
    while not folder.exists():
        missing.append(folder.name)
        folder = folder.parent
    with tempfile.TemporaryFile(dir=folder):
        pass
    longest = os.pathconf(folder, "PC_NAME_MAX") if hasattr(os, "pathconf") else 255
    for part, extra in zip(missing, (room, *[0] * len(missing)), strict=False):
        if len(os.fsencode(part)) + extra > longest:
            raise ValueError(f"the name {_short(part)} is too long")


def _short(path: str | os.PathLike[str]) -> str:
    text = os.fspath(path).replace("\0", "\\0")
    return text if len(text) <= 200 else f"{text[:80]}...{text[-20:]}"


def _remedy(reason: Exception) -> str:
    if isinstance(reason, PermissionError):
        return "it may be whole: change its permissions, or copy it to a place where you may read it"
    return "check the path"
