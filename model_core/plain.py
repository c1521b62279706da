"""JSON and YAML of a user as plain values: what is no such text, or nested or repeated without end, is refused."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from .errors import InputError, PortraitError
from .paths import readable_file


class _Loader(yaml.SafeLoader):
    """YAML as its second edition has it, where 1e-3, without a dot, is a number."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)

_DEEPEST = 32
_MOST_VALUES = 100_000
"""A YAML file of a kilobyte may repeat itself into billions of values, and none of ours has a thousand."""


def from_json(text: str, *, name: str, error: type[PortraitError] = InputError) -> Any:
    """The values that a JSON text stands for.

    Args:
        name: of the text, for the message.
        error: what to raise.
    Raises:
        PortraitError: the text is no JSON, or nested too deeply.
    """
    try:
        return _checked(json.loads(text), name=name, error=error)
    except (ValueError, RecursionError) as reason:
        raise error(f"{name}: is no JSON ({_words(reason)})") from reason


def from_yaml(text: str, *, name: str) -> Any:
    """The values that a YAML text stands for; errors as ``from_json``."""
    try:
        return _checked(yaml.load(text, _Loader), name=name, error=InputError)
    # beside its own errors, yaml lets those of Python's numbers and dates through
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, RecursionError) as reason:
        raise InputError(f"{name}: not YAML ({_words(reason)})") from reason


def read_text(path: str | os.PathLike[str], *, name: str) -> str:
    """A small text file of a user's; ``name`` stands before the path in the message.

    Raises:
        InputError: there is no such file, it may not be read, or it is no text.
    """
    path = Path(path)
    try:
        return readable_file(path, name=name).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{name} {path}: is no text in UTF-8 ({error.reason}); give a text file") from error


def _checked(values: Any, *, name: str, error: type[PortraitError]) -> Any:
    """The values, unless they are nested or repeated too often: counted level by level, without recursion."""
    level, count = [values], 0
    for _ in range(_DEEPEST):
        level = [inner for value in level for inner in _inside(value)]
        count += len(level)
        if not level:
            return values
        if count > _MOST_VALUES:
            raise error(f"{name}: holds more than {_MOST_VALUES} values; give settings only")
    raise error(f"{name}: nested more than {_DEEPEST} deep; give settings only")


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, (list, tuple, set)) else ()


def _words(error: Exception) -> str:
    """One line of what a parser says."""
    return "nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())
