"""Settings within bounds, checked in one place for the command line, YAML files, nodes and model files.

Bounds stand with the field, ``steps: Annotated[int, Bounds(0, 1000)]``; ``check_settings``, called from a settings
dataclass's ``__post_init__``, holds every field to its type and bounds.
"""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from .errors import InputError, PortraitError


@dataclass(frozen=True)
class Bounds:
    """The numbers that a setting takes: ``low`` to ``high``, both included; of a tuple, how many entries it has.

    Attributes:
        above: leaves ``low`` itself out.
    """

    low: float
    high: float
    above: bool = False

    def hold(self, value: float) -> bool:
        """Whether a number lies within; NaN and infinities never do."""
        return self.low <= value <= self.high and not (self.above and value == self.low)

    def __str__(self) -> str:
        return f"above {self.low} and at most {self.high}" if self.above else f"from {self.low} to {self.high}"


Share = Annotated[float, Bounds(0, 1)]
"""A probability, or a part of something."""


def check_settings(settings: Any, *, what: str = "", error: type[PortraitError] = InputError) -> None:
    """Hold every field of a settings dataclass to its type and bounds; called from ``__post_init__``.

    Args:
        what: stands before the field's name in the message, such as "optim: ".
        error: what to raise.
    Raises:
        PortraitError: names the first field that does not fit, its value, and what it takes.
    """
    values = {entry.name: getattr(settings, entry.name) for entry in dataclasses.fields(settings)}
    check_values(type(settings), values, what=what, error=error)


def check_values(
    kind: type, values: Mapping[str, Any], *, what: str = "", error: type[PortraitError] = InputError
) -> None:
    """The same for values by name before a dataclass, ``kind``, is made of them; names that it lacks are let pass."""
    for name, wanted in _types_of(kind).items():
        remedy = misfit(values[name], wanted) if name in values else ""
        if remedy:
            raise error(f"{what}{name} {shown(values[name])}: {remedy}")


def misfit(value: Any, wanted: Any) -> str:
    """What to give instead of a value that is not of a type, with its bounds; empty where it fits.

    Args:
        wanted: as in an annotation: a number or text, a Literal, an alternative, a tuple, a mapping or a class.
    """
    bounds = None
    if get_origin(wanted) is Annotated:
        wanted, bounds = get_args(wanted)[:2]
    if wanted in (int, float):
        return _number_misfit(value, wanted, bounds)
    origin, choices = get_origin(wanted), get_args(wanted)
    if origin is Literal:
        fits = any(value == choice and type(value) is type(choice) for choice in choices)
        return "" if fits else f"choose {_listed(choices)}"
    if origin in (Union, types.UnionType):
        remedies = [misfit(value, choice) for choice in choices]
        return "" if "" in remedies else ", or ".join(remedies)
    if origin is tuple:
        return _tuple_misfit(value, choices, bounds)
    if origin is dict and isinstance(value, dict) and choices:
        entries = [(key, misfit(entry, choices[1])) for key, entry in value.items()]
        return next((f"{shown(key)} {remedy}" for key, remedy in entries if remedy), "")
    kind = object if wanted is Any else origin or wanted
    return "" if isinstance(value, kind) else f"must be {_KINDS.get(kind, f'a {kind.__name__}')}"


def shown(value: Any) -> str:
    """A value as a message shows it, cut to one line."""
    if isinstance(value, int) and value.bit_length() > 200:  # Python itself refuses to write the longest ones out
        return f"of about {round(value.bit_length() * 0.30103)} digits"
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


_KINDS: dict[Any, str] = {bool: "true or false", str: "text", dict: "settings by name", types.NoneType: "nothing"}
_SHOWN = 60


@functools.cache
def _types_of(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    return {entry.name: hints[entry.name] for entry in dataclasses.fields(kind)}


def _number_misfit(value: Any, wanted: type, bounds: Bounds | None) -> str:
    numbers, name = (Integral, "a whole number") if wanted is int else (Real, "a number")
    if isinstance(value, bool) or not isinstance(value, numbers):
        return f"must be {name}{f' {bounds}' if bounds else ''}"
    return "" if bounds is None or bounds.hold(cast(float, value)) else f"must be {bounds}"


def _tuple_misfit(value: Any, choices: tuple[Any, ...], bounds: Bounds | None) -> str:
    """Of a tuple of a fixed length, or of any with ``bounds`` on how many."""
    repeated = choices[-1] is Ellipsis
    count = f"{bounds}" if bounds else "any number of" if repeated else f"{len(choices)}"
    if not isinstance(value, tuple) or not (repeated or len(value) == len(choices)):
        return f"must be a list with {count} entries"
    if bounds is not None and not bounds.hold(len(value)):
        return f"must have {count} entries"
    kinds = choices[:1] * len(value) if repeated else choices
    remedies = (misfit(entry, kind) for entry, kind in zip(value, kinds, strict=True))
    return next((f"every entry {remedy}" for remedy in remedies if remedy), "")


def _listed(choices: tuple[Any, ...]) -> str:
    names = [str(choice) for choice in choices]
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


LAYERS = Bounds(0, 256)
"""How often something is repeated in a network: more takes minutes to build, before any weight is read."""
_REPEATED = ("layers_per_block", "num_hidden_layers", "transformer_layers_per_block", "num_layers")


def check_arguments(arguments: Mapping[str, Any], *, what: str, error: type[PortraitError] = InputError) -> None:
    """Hold another library's keyword arguments, whose types are its own affair, to numbers that a network can have.

    Raises:
        PortraitError: names the argument.
    """
    for name, value in arguments.items():
        bounds = LAYERS if name in _REPEATED else Bounds(-16384, 16384)
        entries = value if isinstance(value, (list, tuple)) else [value]
        numbers: list[Any] = [entry for entry in entries if isinstance(entry, Real) and not isinstance(entry, bool)]
        if len(entries) > LAYERS.high or not all(map(bounds.hold, numbers)):
            raise error(f"{what}{name} {shown(value)}: must be {bounds}, at most {LAYERS.high:g} of them")


def listed(value: Any) -> Any:
    """A list as the tuple that settings hold, since JSON and YAML know lists only; all else as it is."""
    return tuple(value) if isinstance(value, list) else value
