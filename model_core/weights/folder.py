"""Which files of a folder are a model's weights."""

from __future__ import annotations

from pathlib import Path

from ..errors import CheckpointError, ModelNotFoundError
from ..paths import exists, readable_folder
from .io import WEIGHTS_SUFFIXES

_PIPELINE = "model_index.json"
_UNUSED = frozenset({"text_encoder", "text_encoder_2", "tokenizer", "safety_checker", "feature_extractor", "scheduler"})
# the full edition before the half-precision one, plain tensors before a pickle
_EDITIONS = ("", ".fp32", ".fp16", ".non_ema")


def weight_files(path: Path) -> list[Path]:
    """The weights files that a path stands for, by name.

    A file is itself. A folder gives its own files and those of its direct sub-folders, each network once: of
    several editions the fullest, of a diffusers pipeline its components only.

    Raises:
        ModelNotFoundError: there is no such path, or no weights in the folder.
    """
    if not exists(path) or not path.is_dir():
        return [path]
    readable_folder(path, name="model folder", error=CheckpointError)
    folders = [path, *sorted(sub for sub in path.iterdir() if sub.is_dir() and sub.name not in _UNUSED)]
    if (path / _PIPELINE).is_file():
        folders = folders[1:]
    files = [file for folder in folders for file in _fullest(folder)]
    if not files:
        raise ModelNotFoundError(f"{path}: no weights in this folder (.safetensors, .pth, .ckpt, .bin)")
    return files


def holds_weights(folder: Path) -> bool:
    """Whether ``weight_files`` would find any; nothing is opened."""
    if not exists(folder) or not folder.is_dir():
        return False
    return any(_weights(file) for pattern in ("*", "*/*") for file in folder.glob(pattern))


def _weights(file: Path) -> bool:
    return file.suffix in WEIGHTS_SUFFIXES and not file.name.startswith(".") and file.is_file()


def _fullest(folder: Path) -> list[Path]:
    best: dict[str, Path] = {}
    for file in sorted(filter(_weights, folder.iterdir()), key=_rank):
        best.setdefault(_network(file), file)
    return sorted(best.values())


def _network(file: Path) -> str:
    """The name without edition; transformers' and diffusers' own two names for one thing are one."""
    name = file.stem
    for edition in _EDITIONS[1:]:
        name = name.removesuffix(edition)
    return {"pytorch_model": "model"}.get(name, name)


def _rank(file: Path) -> tuple[int, bool, str]:
    editions = [place for place, edition in enumerate(_EDITIONS) if edition and file.stem.endswith(edition)]
    return (editions[0] if editions else 0, file.suffix != ".safetensors", file.name)
