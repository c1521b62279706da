"""Tensors into networks: wholly or not at all."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import CheckpointError
from .formats.animatediff import is_position_table
from .header import Header
from .io import largest, open_weights

_SHOWN_KEYS = 12
_MAPPED_AT_ONCE = 2**27  # bytes of a file in memory beside the weights themselves


@dataclass(frozen=True)
class Source:
    """Where some of a model's tensors are found.

    Attributes:
        header: of the file.
        names: the tensors' names in the model, to the file's keys.
        tables: keys of position tables: they must be the ones that are computed here, and are not loaded.
    """

    header: Header
    names: Mapping[str, str]
    tables: Sequence[str] = ()


def load_sources(
    module: nn.Module,
    sources: Sequence[Source],
    *,
    device: str | torch.device = "cpu",
    name: str,
    allowed_drops: Sequence[str] = (),
) -> None:
    """Give a module its weights straight from files, every one of them, or raise and leave it as it was.

    Every tensor goes from the file's pages to its device and number format, which are those of the module's own
    (meta) tensor, and becomes the parameter; the pages are let go after every few. So nothing is held twice.

    Args, Raises: as ``load_strict``; also CheckpointError for weights that are not finite, in the file or in the
        number format asked for, and for a position table that is not AnimateDiff's.
    """
    expected = module.state_dict()
    found = {target: _Found.of(source.header, key) for source in sources for target, key in source.names.items()}
    problems = {
        "missing": [key for key in expected if key not in found],
        "unexpected": [key for key in found if key not in expected and not _matches(key, allowed_drops)],
        "mis-shaped": [
            f"{key} {found[key]}, not {_describe(wanted)}"
            for key, wanted in expected.items()
            if key in found and not found[key].fits(wanted)
        ],
    }
    if any(problems.values()):
        raise CheckpointError(_message(name, problems))
    dtypes = {key: tensor.dtype for key, tensor in expected.items()}
    loaded = {
        key: tensor.view(expected[key].shape)
        for source in sources
        for key, tensor in read_source(source, dtypes=dtypes, device=device)
    }
    module.load_state_dict(loaded, strict=True, assign=True)


def read_source(
    source: Source, *, dtypes: Mapping[str, torch.dtype], device: str | torch.device = "cpu"
) -> Iterator[tuple[str, Tensor]]:
    """The tensors of one file under the model's names, each its own copy; those without a dtype are left out."""
    header = source.header
    wanted: list[tuple[str | None, str]] = [(name, key) for name, key in source.names.items() if name in dtypes]
    for group in _groups(header, [*wanted, *((None, key) for key in source.tables)]):
        with open_weights(header.path) as file:  # closing it lets its pages go
            for name, key in group:
                tensor = file.tensor(header.prefix + key)
                if name is not None:
                    yield name, _taken(tensor, dtypes[name], device, path=header.path, key=key)
                elif not is_position_table(tensor):
                    raise CheckpointError(
                        f"{header.path}: {key} is not AnimateDiff's position table; the file is damaged, or its "
                        "temporal layers are of another kind"
                    )
                del tensor


def _groups(header: Header, items: Sequence[tuple[str | None, str]]) -> Iterator[list[tuple[str | None, str]]]:
    group: list[tuple[str | None, str]] = []
    size = 0
    for item in items:
        shape, dtype = header.shapes[item[1]], header.dtypes[item[1]]
        size += torch.Size(shape).numel() * dtype.itemsize
        group.append(item)
        if size >= _MAPPED_AT_ONCE:
            yield group
            group, size = [], 0
    if group:
        yield group


def _taken(tensor: Tensor, dtype: torch.dtype, device: str | torch.device, *, path: Path, key: str) -> Tensor:
    """A copy in its final place; numbers that are not finite there are an error."""
    moved = tensor.to(device)
    if tensor.is_floating_point():
        most = largest(moved)
        if not math.isfinite(most):
            raise CheckpointError(f"{path} holds NaN or infinite weights in {key}. Download or export it again.")
        if most > torch.finfo(dtype).max:
            kind = str(dtype).removeprefix("torch.")
            raise CheckpointError(f"{path} holds weights beyond the range of {kind} in {key}; choose bfloat16")
    taken = moved.to(dtype)
    return taken.clone() if taken is tensor else taken  # else it were still the file's own bytes


@dataclass(frozen=True)
class _Found:
    """Shape of a file's tensor, and the nature of its numbers."""

    shape: tuple[int, ...]
    floating: bool

    @classmethod
    def of(cls, header: Header, key: str) -> _Found:
        return cls(header.shapes[key], header.dtypes[key].is_floating_point)

    def fits(self, wanted: Tensor) -> bool:
        shape = tuple(wanted.shape)
        # older autoencoders have their attention's matrices as 1x1 convolutions
        return self.floating == wanted.is_floating_point() and self.shape in (shape, (*shape, 1, 1))

    def __str__(self) -> str:
        return f"{self.shape}{'' if self.floating else ' integer'}"


def load_strict(
    module: nn.Module, tensors: Mapping[str, Tensor], *, name: str, allowed_drops: Sequence[str] = ()
) -> None:
    """Give a module its weights, every one of them, or raise and leave it as it was.

    The tensors become the parameters themselves, so nothing is held twice and a module built on the meta
    device becomes real; the module takes over their dtype and device.

    Args:
        module: the network; its parameters and persistent buffers are what the file must hold.
        tensors: by key, as in ``module.state_dict()``.
        name: of the file or model, for the message.
        allowed_drops: keys, or patterns with ``*``, that may be in the file though the module has no use for
            them; the only deliberate drops.
    Raises:
        CheckpointError: one error that lists every missing, unexpected and mis-shaped key.
    """
    expected = module.state_dict()
    wanted = {key: tensor for key, tensor in tensors.items() if key in expected}
    unexpected = [key for key in tensors if key not in expected and not _matches(key, allowed_drops)]
    problems = {
        "missing": [key for key in expected if key not in tensors],
        "unexpected": unexpected,
        "mis-shaped": [
            f"{key} {_describe(wanted[key])}, not {_describe(expected[key])}"
            for key in wanted
            if _describe(wanted[key]) != _describe(expected[key])
        ],
    }
    if any(problems.values()):
        raise CheckpointError(_message(name, problems))
    module.load_state_dict(wanted, strict=True, assign=True)


def _matches(key: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in patterns)


def _describe(tensor: Tensor) -> str:
    """Shape, and the nature of its numbers: a quantised file must not pass for a plain one."""
    return f"{tuple(tensor.shape)}{'' if tensor.is_floating_point() else ' integer'}"


def _message(name: str, problems: Mapping[str, Sequence[str]]) -> str:
    lines = [f"{name} does not fit the network; nothing was loaded."]
    for problem, keys in problems.items():
        if keys:
            more = f", and {len(keys) - _SHOWN_KEYS} more" if len(keys) > _SHOWN_KEYS else ""
            lines.append(f"  {problem} ({len(keys)}): {', '.join(keys[:_SHOWN_KEYS])}{more}")
    lines.append("Choose the file made for this model, or the model made for this file.")
    return "\n".join(lines)
