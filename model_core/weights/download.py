"""Fetching a file of the catalog: only when asked, resumed where it stopped, and checked before it gets its name."""

from __future__ import annotations

import http.client
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from ..errors import CancelledError, CheckpointError, DependencyError
from .catalog import Download, mismatch, verify

PART_SUFFIX = ".part"

_PIECE = 1 << 20
_TIMEOUT = 30.0  # seconds without a byte
_RANGE_ANSWER = re.compile(r"bytes (\d+)-\d+/(?:\d+|\*)")

Progress = Callable[[int, int], None]


def download(
    entry: Download,
    folder: str | os.PathLike[str],
    *,
    confirm: Callable[[Download], bool],
    progress: Progress | None = None,
) -> Path:
    """Fetch a file into ``<name>.part``, check it, and only then give it its name.

    Where the network or the user stops it, the part stays and the next call continues it.

    Args:
        entry: what to fetch; a right copy already in the folder is kept and nothing is asked.
        folder: where it goes; made if missing.
        confirm: shown the entry (address, size, licence); False stops before the network is touched.
        progress: told bytes done and bytes in all after every piece; may raise to stop.
    Returns:
        the path of the verified file.
    Raises:
        CancelledError: ``confirm`` said no.
        DependencyError: the server or the disk failed; what has arrived is kept.
        CheckpointError: what arrived is not the file, or a file of that name is not; the part is removed. Where the
            catalog knows no hash, only what came over a broken connection is told.
    """
    target = _inside(Path(folder), entry.name)
    if target.is_file():
        verify(target, entry)
        return target
    if not confirm(entry):
        raise CancelledError(f"{entry.name} was not downloaded.")
    part = target.with_name(target.name + PART_SUFFIX)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _fetch(entry, part, progress)
        verify(part, entry)
        os.replace(part, target)
    except CheckpointError:
        part.unlink(missing_ok=True)  # nothing good can be continued from it
        raise
    except (OSError, http.client.HTTPException) as error:
        raise DependencyError(_failed(entry, folder, part, error)) from error
    return target


def _inside(folder: Path, name: str) -> Path:
    """The file's place, refusing a name that would lead out of the folder."""
    if Path(name).name != name or name in {"", ".."} or "\\" in name:
        raise CheckpointError(f"{name!r} is no plain file name; nothing outside {folder} is written")
    return folder / name


def _fetch(entry: Download, part: Path, progress: Progress | None) -> None:
    done = part.stat().st_size if part.is_file() else 0
    if done == entry.size:  # it was stopped just before the check
        return
    if entry.size is not None and done > entry.size:
        part.unlink()
        done = 0
    request = urllib.request.Request(entry.url, headers={"Range": f"bytes={done}-"} if done else {})
    with _opened(request, part) as source:
        done = _continues_at(source, done)
        total = _total(source, done) if entry.size is None else entry.size
        with part.open("r+b" if done else "wb") as sink:
            sink.seek(done)
            _copy(source, sink, entry=entry, done=done, total=total, progress=progress)


def _opened(request: urllib.request.Request, part: Path) -> http.client.HTTPResponse:
    try:
        answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink(missing_ok=True)  # the server's file is shorter than the part: begin anew next time
        raise
    return answer


def _continues_at(answer: http.client.HTTPResponse, asked: int) -> int:
    """Where the bytes of an answer belong: servers may ignore a range, or give another."""
    if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
        return 0
    match = _RANGE_ANSWER.fullmatch(answer.headers.get("Content-Range", ""))
    if match is None or int(match[1]) > asked:
        raise http.client.HTTPException("the server answered with another part of the file than was asked for")
    return int(match[1])


def _total(answer: http.client.HTTPResponse, done: int) -> int:
    """The whole file's size, as the server says it."""
    length = answer.headers.get("Content-Length")
    if length is None or not length.isdigit():
        raise http.client.HTTPException("the server does not say how long the file is")
    return done + int(length)


def _copy(
    source: BinaryIO, sink: BinaryIO, *, entry: Download, done: int, total: int, progress: Progress | None
) -> None:
    while block := source.read(_PIECE):
        done += len(block)
        if done > total:  # an endless answer must not fill the disk
            raise CheckpointError(mismatch(Path(sink.name), entry, f"more than {total} bytes arrive"))
        sink.write(block)
        if progress is not None:
            progress(done, total)
    if done < total:
        raise http.client.HTTPException(f"the connection ended after {done} of {total} bytes")


def _failed(entry: Download, folder: str | os.PathLike[str], part: Path, error: Exception) -> str:
    # an HTTP answer is an OSError of urllib too, but the network is fine then
    answered = isinstance(error, (urllib.error.HTTPError, http.client.HTTPException))
    offline = "" if answered else " Is this computer online?"
    kept = f" {part.stat().st_size} bytes are kept and continued next time." if part.is_file() else ""
    return (
        f"{entry.name} could not be downloaded ({error}).{offline}{kept} "
        f"Or fetch {entry.url} by other means and put it into {folder}."
    )
