"""Weights files in and out: safetensors, and torch pickles of tensors only.

Every failure is a ``CheckpointError`` that names the file and the remedy. Nothing in a file is ever executed.
"""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import CheckpointError, ModelNotFoundError
from ..files import atomic_path

TORCH_SUFFIXES = frozenset({".pth", ".pt", ".ckpt", ".bin"})

_AGAIN = "Download or export it again."
_FOREIGN_STARTS = {
    b"version https://git-lfs": "It is a git-lfs pointer, not the weights: run `git lfs pull`.",
    b"<": "It is a web page, not weights: download the file itself.",
    b"PK\x03\x04": "It is a torch file: rename it to .pth.",
    b"\x80": "It is a torch or pickle file: rename it to .pth.",
}
_SHOWN_KEYS = 8
# what torch's safe unpickler raises on bytes that are no pickle, or a broken one
_TORCH_ERRORS = (
    pickle.UnpicklingError,
    struct.error,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
)


def read_weights(
    path: str | os.PathLike[str], *, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a weights file of any known kind, told by its suffix; all else as ``read_safetensors``."""
    path = Path(path)
    if path.suffix == ".safetensors":
        return read_safetensors(path, device=device, dtype=dtype)
    if path.suffix in TORCH_SUFFIXES:
        return read_torch(path, device=device, dtype=dtype), {}
    known = ", ".join(sorted({".safetensors", *TORCH_SUFFIXES}))
    raise CheckpointError(f"{path}: a weights file ends in one of {known}.")


def read_safetensors(
    path: str | os.PathLike[str], *, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read all tensors of a file and its metadata.

    Args:
        path: a .safetensors file.
        device: where the tensors go.
        dtype: what floating-point tensors become; None keeps the file's.
    Returns:
        the tensors by key, and the metadata (empty where the file has none).
    Raises:
        ModelNotFoundError: there is no such file.
        CheckpointError: the file is truncated or foreign, or holds values that are not finite.
    """
    with _opened(path, device=str(device)) as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}
        metadata = dict(file.metadata() or {})
    _require_finite(tensors, path=path)
    return _cast(tensors, dtype), metadata


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The metadata of a .safetensors file, without reading a tensor; errors as ``read_safetensors``."""
    with _opened(path, device="cpu") as file:
        return dict(file.metadata() or {})


def read_torch(
    path: str | os.PathLike[str], *, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> dict[str, Tensor]:
    """Read a torch pickle of tensors; a ``state_dict`` inside is taken out of its wrapping.

    Only tensors and plain containers are unpickled, so a malicious file is refused and runs nothing.

    Args, Raises: as ``read_safetensors``.
    """
    path = _existing(path)
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except _TORCH_ERRORS as error:
        # torch explains at length how to switch the protection off: not a remedy to pass on
        raise CheckpointError(
            f"{path} is not a torch file of tensors only ({type(error).__name__}); it was not executed. "
            f"Truncated or foreign? {_AGAIN}"
        ) from error
    tensors = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if not isinstance(tensors, Mapping) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise CheckpointError(f"{path} holds no state dict: name to tensor, or that under `state_dict`.")
    tensors = {str(key): value for key, value in tensors.items()}
    _require_finite(tensors, path=path)
    return _cast(tensors, dtype)


def write_safetensors(
    path: str | os.PathLike[str], tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> Path:
    """Write a file wholly or not at all: a reader sees the old one or the new one, never a part.

    Args:
        path: the file to write; its folder is made.
        tensors: by key, on any device.
        metadata: text by text, such as a config as JSON.
    Raises:
        CheckpointError: the disk is full or the folder cannot be written; the partial file is removed.
    """
    path = Path(path)
    plain = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
    try:
        with atomic_path(path) as partial:
            save_file(plain, partial, metadata=dict(metadata or {}))
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path} could not be written ({error}). Free some space or choose another folder; nothing was left behind."
        ) from error
    return path


@contextmanager
def _opened(path: str | os.PathLike[str], *, device: str) -> Iterator[safe_open]:
    """A safetensors file; whatever the library finds wrong with it becomes a ``CheckpointError``."""
    path = _existing(path)
    try:
        with safe_open(path, framework="pt", device=device) as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a whole safetensors file ({error}). {_remedy(path)}") from error


def _existing(path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    if not path.is_file():
        raise ModelNotFoundError(f"{path}: no such weights file. Check the name and the folder.")
    return path


def _remedy(path: Path) -> str:
    """What to do about a file that is no safetensors file, by how it starts."""
    with path.open("rb") as file:
        head = file.read(64)
    for start, advice in _FOREIGN_STARTS.items():
        if head.startswith(start):
            return advice
    return f"Its {path.stat().st_size} bytes are truncated or foreign. {_AGAIN}"


def _require_finite(tensors: Mapping[str, Tensor], *, path: str | os.PathLike[str]) -> None:
    bad = [key for key, tensor in tensors.items() if not _finite(tensor)]
    if bad:
        more = f" and {len(bad) - _SHOWN_KEYS} more" if len(bad) > _SHOWN_KEYS else ""
        raise CheckpointError(f"{path} holds NaN or infinite weights in {', '.join(bad[:_SHOWN_KEYS])}{more}. {_AGAIN}")


def _finite(tensor: Tensor) -> bool:
    if not tensor.is_floating_point():
        return True
    if tensor.element_size() == 1:  # no float8 knows isfinite
        tensor = tensor.float()
    return bool(torch.isfinite(tensor).all())


def _cast(tensors: dict[str, Tensor], dtype: torch.dtype | None) -> dict[str, Tensor]:
    if dtype is None:
        return tensors
    return {key: value.to(dtype) if value.is_floating_point() else value for key, value in tensors.items()}
