"""Files that are either whole or not there, never written over what is read, in folders that one process holds."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import InputError, VideoError

NamedPath = tuple[str, str | os.PathLike[str] | None]
"""What the user calls a path, such as an option, and the path; None is none."""

LOCK = "vividportraits.lock"
"""The file by which a process holds a folder."""
_BLOCK = 2**22
_PATIENCE = 0.5  # seconds: an owner who has just finished takes the folder away


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


def refuse_overwriting(outputs: Iterable[NamedPath], inputs: Iterable[NamedPath] = ()) -> None:
    """Refuse to write over what is read, or twice to one place; call it before any work.

    Links and dots are seen through, and a hard link is the file it links to. A folder stands for all that lies in it.

    Args:
        outputs, inputs: what the user calls each path, such as an option, and the path; None is none.
    Raises:
        InputError: names both paths.
    """
    taken: dict[object, NamedPath] = {}
    around: dict[object, NamedPath] = {}

    def take(named: NamedPath, real: Path) -> None:
        taken.update(dict.fromkeys(_keys(real), named))
        around.update(dict.fromkeys(real.parents, named))

    for name, path in inputs:
        if path is not None:
            take((name, path), _real(path))
    for name, path in outputs:
        if path is None:
            continue
        real = _real(path)
        for places, places_taken, relation in (
            (_keys(real), taken, "is the same as"),
            (real.parents, taken, "lies in"),
            ([real], around, "is the folder of"),
        ):
            for place in places:
                if place in places_taken:
                    other, there = places_taken[place]
                    raise InputError(f"{name} {path}: {relation} {other} {there}; choose another place to write to")
        take((name, path), real)


def _real(path: str | os.PathLike[str]) -> Path:
    try:
        return Path(os.path.normcase(os.path.realpath(path)))
    except ValueError:  # no file has such a name; whoever opens it says so
        return Path(os.path.normcase(os.path.abspath(path)))


def _keys(real: Path) -> list[object]:
    """What two paths to the same place have in common: the path itself, and what os.path.samefile compares."""
    try:
        found = real.stat()
    except (OSError, ValueError):
        return [real]
    return [real, (found.st_dev, found.st_ino)]


@contextlib.contextmanager
def locked_folder(folder: Path, *, holder: str, work: str) -> Iterator[None]:
    """Make the folder where it is missing, and hold it for the block. The system frees it with the process.

    Args:
        holder: name of the file in it that says which process holds it, or did last.
        work: what is held, for the error: "this video".
    Raises:
        InputError: another process holds it; the message names that process.
        OSError: the folder cannot be made or written.
    """
    lock = FileLock(folder / LOCK)
    while not lock.is_locked:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=_PATIENCE)
        except FileNotFoundError:
            continue  # its owner has just finished and taken the folder away
        except Timeout as error:
            raise InputError(
                f"{folder}: another process ({_process(folder / holder)}) is at work on {work}; wait for it, or give "
                "another output"
            ) from error
    try:
        with atomic_path(folder / holder) as partial:
            partial.write_text(f"ComfyUI-VividPortraits works here, process {os.getpid()}\n", "utf-8")
        yield
    finally:
        lock.release()


def _process(holder: Path) -> str:
    try:
        found = re.search(r"process (\d+)", holder.read_text("utf-8", errors="replace"))
    except OSError:
        return "unknown"
    return found[1] if found else "unknown"


def file_digest(path: Path) -> str:
    """Of a file's content; of a folder's, of the names and the content of its files."""
    digest = hashlib.sha256()
    files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
    for file in files:
        if path.is_dir():
            digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        try:
            with file.open("rb") as stream:
                while block := stream.read(_BLOCK):
                    digest.update(block)
        except OSError as error:
            raise VideoError(f"video {file}: cannot be read ({error.strerror}); check its permissions") from error
    return digest.hexdigest()
