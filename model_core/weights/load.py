"""Tensors into networks: wholly or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from torch import Tensor, nn

from ..errors import CheckpointError

_SHOWN_KEYS = 12


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
