"""Where models lie: the bundled ones, ``models/portraits``, and ComfyUI's standard folders."""

from __future__ import annotations

import os
from pathlib import Path

import folder_paths

from ...model_core.weights.detect import holds_portrait_model

MODELS_FOLDER = "portraits"
# People keep files where other packs want them, so these are searched for this project's models too.
STANDARD_FOLDERS = ("checkpoints", "vae", "clip_vision", "animatediff_models")

_ASSETS = Path(__file__).parent.parent.parent / "model_core" / "assets"
_SUFFIX = ".safetensors"


def register_model_folder() -> None:
    """Make ``models/portraits`` (and what extra_model_paths.yaml adds to it) a folder that ComfyUI knows."""
    for name in (MODELS_FOLDER, "animatediff_models"):  # the second is known only where AnimateDiff is installed
        folder_paths.add_model_folder_path(name, os.path.join(folder_paths.models_dir, name))


def model_names() -> list[str]:
    """Bundled models by their plain name, those of models/portraits by file name, others as ``folder/file``.

    Of ComfyUI's standard folders only files that carry this project's config are listed: their headers are read,
    once for each version of a file.
    """
    bundled = sorted(path.stem for path in _ASSETS.glob(f"*{_SUFFIX}"))
    installed = [name for name in folder_paths.get_filename_list(MODELS_FOLDER) if name.endswith(_SUFFIX)]
    elsewhere = [
        f"{folder}/{name}"
        for folder in STANDARD_FOLDERS
        for name in folder_paths.get_filename_list(folder)
        if name.endswith(_SUFFIX) and _is_ours(folder, name)
    ]
    return [*bundled, *installed, *elsewhere]


def model_path(name: str) -> Path | None:
    """The file behind a name of ``model_names``; None where it is gone."""
    bundled = _ASSETS / f"{name}{_SUFFIX}"
    if bundled.parent == _ASSETS and bundled.is_file():
        return bundled
    found = folder_paths.get_full_path(MODELS_FOLDER, name)
    folder, _, file = name.partition("/")
    if found is None and folder in STANDARD_FOLDERS and _is_ours(folder, file):
        found = folder_paths.get_full_path(folder, file)
    return None if found is None else Path(found)


def _is_ours(folder: str, name: str) -> bool:
    path = folder_paths.get_full_path(folder, name)
    return path is not None and holds_portrait_model(Path(path))


def asset(name: str) -> Path:
    """A bundled file: small demo media and models live in the library's ``assets``."""
    return _ASSETS / name


def model_folders() -> list[Path]:
    """Where a user may put models, the face landmarker's file among them."""
    return [Path(folder) for folder in folder_paths.get_folder_paths(MODELS_FOLDER)]


def download_folder() -> Path:
    """Where a download goes: the first of the folders for this project's models."""
    return model_folders()[0]
