"""Where models lie: the bundled ones, ``models/portraits``, and ComfyUI's standard folders."""

from __future__ import annotations

import os
from pathlib import Path

import folder_paths

from ...model_core.bundled import BUNDLED
from ...model_core.weights.detect import holds_portrait_model
from ...model_core.weights.folder import holds_weights
from ...model_core.weights.io import WEIGHTS_SUFFIXES

MODELS_FOLDER = "portraits"
# People keep files where other packs want them, so these are searched for this project's models too.
STANDARD_FOLDERS = ("checkpoints", "vae", "clip_vision", "animatediff_models")

_WEIGHTS = ("checkpoints", "diffusion_models", MODELS_FOLDER)
PART_FOLDERS: dict[str, tuple[str, ...]] = {
    "checkpoint": _WEIGHTS,
    "unet": _WEIGHTS,
    "reference_unet": _WEIGHTS,
    "motion_module": ("animatediff_models", MODELS_FOLDER),
    "pose_guider": ("controlnet", MODELS_FOLDER),
    "vae": ("vae", MODELS_FOLDER),
    "clip_vision": ("clip_vision", MODELS_FOLDER),
}
"""Where people keep the parts of public models."""

_ASSETS = Path(__file__).parent.parent.parent / "model_core" / "assets"
_SUFFIX = ".safetensors"


def register_model_folder() -> None:
    """Make ``models/portraits`` (and what extra_model_paths.yaml adds to it) a folder that ComfyUI knows."""
    for name in (MODELS_FOLDER, "animatediff_models"):  # the second is known only where AnimateDiff is installed
        folder_paths.add_model_folder_path(name, os.path.join(folder_paths.models_dir, name))


def model_names() -> list[str]:
    """Bundled models by their plain name, those of models/portraits by file name, others as ``folder/file``.

    A folder inside models/portraits is a model too: the public files in it are assembled.
    Of ComfyUI's standard folders only files that carry this project's config are listed: their headers are read,
    once for each version of a file.
    """
    installed = [
        name
        for name in folder_paths.get_filename_list(MODELS_FOLDER)
        if name.endswith(_SUFFIX) and (Path(name).name == name or _is_ours(MODELS_FOLDER, name))
    ]
    folders = [name for name in _portrait_folders() if name not in installed]
    elsewhere = [
        f"{folder}/{name}"
        for folder in STANDARD_FOLDERS
        for name in folder_paths.get_filename_list(folder)
        if name.endswith(_SUFFIX) and _is_ours(folder, name)
    ]
    return [*BUNDLED, *installed, *folders, *elsewhere]


def model_path(name: str) -> Path | None:
    """The file or folder behind a name of ``model_names``; None where it is gone."""
    bundled = _ASSETS / f"{name}{_SUFFIX}"
    if bundled.parent == _ASSETS and os.path.isfile(bundled):  # False too where no file can have such a name
        return bundled
    found = folder_paths.get_full_path(MODELS_FOLDER, name) or _portrait_folders().get(name)
    folder, _, file = name.partition("/")
    if found is None and folder in STANDARD_FOLDERS and _is_ours(folder, file):
        found = folder_paths.get_full_path(folder, file)
    return None if found is None else Path(found)


def part_names(part: str) -> list[str]:
    """Weights files that may hold a part of a public model, as ``folder/file``; sub-folders keep their path.

    Args:
        part: a key of ``PART_FOLDERS``.
    """
    names = []
    for folder in PART_FOLDERS[part]:
        found = folder_paths.get_filename_list(folder)
        names += [f"{folder}/{name}" for name in found if Path(name).suffix in WEIGHTS_SUFFIXES]
    return names


def part_path(name: str) -> Path | None:
    """The file behind a name of ``part_names``; None where it is gone."""
    folder, _, file = name.partition("/")
    if folder not in {known for folders in PART_FOLDERS.values() for known in folders}:
        return None
    found = folder_paths.get_full_path(folder, file)
    return None if found is None else Path(found)


def _portrait_folders() -> dict[str, Path]:
    """Folders of weights directly inside models/portraits, by name."""
    inside = (path for folder in model_folders() if folder.is_dir() for path in sorted(folder.iterdir()))
    return {path.name: path for path in reversed([*inside]) if holds_weights(path)}


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
