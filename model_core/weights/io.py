"""Weights files in and out: safetensors, and torch pickles of tensors only.

Every failure is a ``CheckpointError`` that names the file and the remedy. Nothing in a file is ever executed.
"""

from __future__ import annotations

import math
import os
import pickle
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import CheckpointError, ModelNotFoundError
from ..files import atomic_path
from ..paths import exists, readable_file

TORCH_SUFFIXES = frozenset({".pth", ".pt", ".ckpt", ".bin"})
WEIGHTS_SUFFIXES = TORCH_SUFFIXES | {".safetensors"}

_AGAIN = "Download or export it again."
_FOREIGN_STARTS = {
    b"version https://git-lfs": "It is a git-lfs pointer, not the weights: run `git lfs pull`.",
    b"<": "It is a web page, not weights: download the file itself.",
    b"PK\x03\x04": "It is a torch file: rename it to .pth.",
    b"\x80": "It is a torch or pickle file: rename it to .pth.",
}
_KNOWN_SUFFIXES = f"a weights file ends in one of {', '.join(sorted(WEIGHTS_SUFFIXES))}."
_SHOWN_KEYS = 8
_COMPARED_AT_ONCE = 2**20
_MOST_GROWTH = 8
_SMALL = 2**25  # bytes that may be unpacked from however few
_SAFETENSORS_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
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


def _unpickled(path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors of a torch pickle, and the names of what else stands beside them (a training's ``epoch``).

    Only tensors and plain containers are unpickled, so a malicious file is refused and runs nothing; a ``state_dict``
    inside is taken out of its wrapping. Tensors stay on disk until they are used; of files from before torch 1.6 they
    cannot, and are read.
    """
    _refuse_bomb(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except _TORCH_ERRORS as error:
        # torch explains at length how to switch the protection off: not a remedy to pass on
        raise CheckpointError(
            f"{path} is not a torch file of tensors only ({type(error).__name__}); it was not executed. "
            f"Truncated or foreign? {_AGAIN} A .safetensors edition of it, where there is one, is the safer choice."
        ) from error
    outer = content if isinstance(content, Mapping) else {}
    inner = outer.get("state_dict", outer)
    entries = inner if isinstance(inner, Mapping) else {}
    tensors = {str(key): value for key, value in entries.items() if isinstance(value, Tensor)}
    if not tensors:
        raise CheckpointError(f"{path} holds no state dict: name to tensor, or that under `state_dict`.")
    beside = [*(outer if inner is not outer else ()), *(key for key in entries if str(key) not in tensors)]
    return tensors, [str(key) for key in beside if key != "state_dict"]


def _refuse_bomb(path: Path) -> None:
    """Weights hardly shrink when they are zipped: what would grow many times over is not unpacked to find that out."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, *_TORCH_ERRORS):
        return  # no zip, or a broken one: torch says what is wrong with it
    size = path.stat().st_size
    if unpacked > max(_MOST_GROWTH * size, _SMALL):
        raise CheckpointError(
            f"{path} would grow from {size / 1e6:.1f} MB to {unpacked / 1e6:.0f} MB when it is unpacked, which no "
            f"weights do; it was not opened. {_AGAIN}"
        )


class WeightsFile:
    """An open weights file; its tensors lie on disk until they are asked for, and only while it is open.

    Attributes:
        metadata: of a safetensors file, else empty.
        strays: names of entries that are no tensors.
    """

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self.metadata: dict[str, str] = {}
        self.strays: tuple[str, ...] = ()
        self._tensors: dict[str, Tensor] = {}
        self._file: safe_open | None = None
        if path.suffix in TORCH_SUFFIXES:
            self._tensors, strays = _unpickled(_existing(path))
            self.strays = tuple(strays)
        elif path.suffix == ".safetensors":
            self._file = stack.enter_context(_opened(path, device="cpu"))
            self.metadata = dict(self._file.metadata() or {})
        else:
            raise CheckpointError(f"{_existing(path)}: {_KNOWN_SUFFIXES}")

    def shapes(self) -> dict[str, tuple[int, ...]]:
        if self._file is None:
            return {key: tuple(tensor.shape) for key, tensor in self._tensors.items()}
        return {key: tuple(self._file.get_slice(key).get_shape()) for key in self._file.keys()}

    def dtypes(self) -> dict[str, torch.dtype]:
        if self._file is None:
            return {key: tensor.dtype for key, tensor in self._tensors.items()}
        kinds = {key: self._file.get_slice(key).get_dtype() for key in self._file.keys()}
        return {key: _SAFETENSORS_DTYPES.get(kind, torch.uint8) for key, kind in kinds.items()}

    def tensor(self, key: str) -> Tensor:
        """A view of the file's bytes: copy it before the file is closed."""
        return self._tensors[key] if self._file is None else self._file.get_tensor(key)


@contextmanager
def open_weights(path: str | os.PathLike[str]) -> Iterator[WeightsFile]:
    """Open a weights file of any known kind, told by its suffix; errors as ``read_safetensors``."""
    with ExitStack() as stack:
        yield WeightsFile(Path(path), stack)


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
    if not exists(path) or not path.is_file():
        raise ModelNotFoundError(f"{path}: no such weights file. Check the name and the folder.")
    return readable_file(path, name="weights", error=CheckpointError)


def _remedy(path: Path) -> str:
    """What to do about a file that is no safetensors file, by how it starts."""
    with path.open("rb") as file:
        head = file.read(64)
    for start, advice in _FOREIGN_STARTS.items():
        if head.startswith(start):
            return advice
    return f"Its {path.stat().st_size} bytes are truncated or foreign. {_AGAIN}"


def _require_finite(tensors: Mapping[str, Tensor], *, path: str | os.PathLike[str]) -> None:
    bad = [key for key, tensor in tensors.items() if not all_finite(tensor)]
    if bad:
        more = f" and {len(bad) - _SHOWN_KEYS} more" if len(bad) > _SHOWN_KEYS else ""
        raise CheckpointError(f"{path} holds NaN or infinite weights in {', '.join(bad[:_SHOWN_KEYS])}{more}. {_AGAIN}")


def largest(tensor: Tensor) -> float:
    """The largest magnitude in a tensor, NaN where there is one; without a copy of the tensor."""
    if tensor.numel() == 0:
        return 0.0
    if tensor.element_size() == 1:  # no float8 can be compared
        pieces = tensor.flatten().split(_COMPARED_AT_ONCE)
        return float(torch.tensor([largest(piece.to(torch.bfloat16)) for piece in pieces]).amax())
    ends = torch.stack(torch.aminmax(tensor))  # NaN wins in both
    return float(ends.abs().amax())


def all_finite(tensor: Tensor) -> bool:
    """Whether no number is NaN or infinite."""
    return not tensor.is_floating_point() or math.isfinite(largest(tensor))


def _cast(tensors: dict[str, Tensor], dtype: torch.dtype | None) -> dict[str, Tensor]:
    if dtype is None:
        return tensors
    return {key: value.to(dtype) if value.is_floating_point() else value for key, value in tensors.items()}
