"""What every node asks of its inputs before it runs, where ComfyUI does not ask.

Before a run ComfyUI checks each input by itself: its presence, the type of its link, its range and, in newer versions,
its choice. An input that ``validate_inputs`` names loses the last two, and a message of that function is repeated at
every input it names. So a node names at most one input there, whose check it takes over. Rules between several inputs
are errors of the run. What ComfyUI never looks at is checked here, when the node runs: literals in sockets, values that
links bring to widgets, choices in older versions.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from functools import wraps
from numbers import Integral, Real
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..model_core.errors import DependencyError, InputError
from .sockets import HistorySettings, HostedModel, HostedReference

_SHOWN_CHOICES = 20
_SHOWN_TEXT = 60


def checked(node: type[io.ComfyNode]) -> type[io.ComfyNode]:
    """The same node; its ``execute`` now looks at every input first, and says which package is missing.

    Raises, when the node runs:
        InputError: an input is not what its socket or widget takes; names it.
        DependencyError: a package that this node needs is not installed.
    """
    execute = node.execute.__func__  # type: ignore[attr-defined]
    taken_over = inspect.getfullargspec(getattr(node, "validate_inputs", lambda cls: True)).args

    @wraps(execute)
    def run(cls: type[io.ComfyNode], **values: Any) -> io.NodeOutput:
        for socket in cls.define_schema().inputs:
            if socket.id in values and socket.id not in taken_over:
                check_value(socket, values[socket.id])
        try:
            return execute(cls, **values)  # type: ignore[no-any-return]
        except ModuleNotFoundError as error:
            raise DependencyError(
                f"the package {error.name} is not installed; run install.py in this pack's folder with ComfyUI's Python"
            ) from error

    node.execute = classmethod(run)  # type: ignore[assignment]
    return node


def check_value(socket: Any, value: Any) -> None:
    """Raise InputError, naming the input, where a value is not what its socket or widget takes."""
    kind, facts = str(socket.get_io_type()), socket.as_dict()
    if kind == "COMBO":
        _check_choice(socket.id, value, facts["options"])
    elif kind in ("INT", "FLOAT"):
        _check_number(socket.id, value, whole=kind == "INT", least=facts["min"], most=facts["max"])
    elif kind in ("STRING", "BOOLEAN"):
        if not isinstance(value, str if kind == "STRING" else bool):
            raise InputError(f"{socket.id}: {_shown(value)} is no {'text' if kind == 'STRING' else 'true or false'}")
    elif not (_belongs(kind, value) or (value is None and facts.get("optional"))):
        what = "nothing arrives" if value is None else f"{_shown(value)} is no {kind}"
        raise InputError(f"{socket.id}: {what}; connect an output of type {kind}")


def _check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    if value in choices:
        return
    more = len(choices) - _SHOWN_CHOICES
    listed = ", ".join(choices[:_SHOWN_CHOICES]) + (f" and {more} more" if more > 0 else "")
    raise InputError(f"{name}: {_shown(value)} is not there; choose one of {listed}")


def _check_number(name: str, value: Any, *, whole: bool, least: float, most: float) -> None:
    if not isinstance(value, Integral if whole else Real) or not math.isfinite(value):
        raise InputError(f"{name}: {_shown(value)} is no {'whole' if whole else 'finite'} number")
    if not least <= value <= most:
        raise InputError(f"{name}: {value} is out of range; choose from {least} to {most}")


def _belongs(kind: str, value: Any) -> bool:
    """Whether a value is what travels through sockets of a kind."""
    from ..model_core.faces.crop import CropRegion
    from ..model_core.motion.editing import ExpressionEdit
    from ..model_core.motion.strength import MotionStrength
    from ..model_core.sampling.guidance import SignalFusion
    from ..model_core.sampling.windows import CyclicOverlap
    from ..model_core.types import FaceTrack, MotionSignal

    if kind == "LATENT":
        return isinstance(value, dict) and isinstance(value.get("samples"), Tensor)
    if kind == "FACE_LANDMARKS":
        return isinstance(value, dict) and "frames" in value
    if kind == "FACE_ANALYZER":
        return hasattr(value, "detect")
    if kind == "VIDEO":
        return hasattr(value, "get_components") or hasattr(value, "get_stream_source")
    if kind == "MASK":
        return isinstance(value, Tensor) and value.ndim >= 2
    types: dict[str, type] = {
        "IMAGE": Tensor,
        "PORTRAIT_MODEL": HostedModel,
        "FACE_TRACK": FaceTrack,
        "FACE_CROP": CropRegion,
        "PORTRAIT_MOTION": MotionSignal,
        "PORTRAIT_REFERENCE": HostedReference,
        "PORTRAIT_GUIDANCE": SignalFusion,
        "PORTRAIT_WINDOWS": CyclicOverlap,
        "PORTRAIT_HISTORY": HistorySettings,
        "PORTRAIT_STRENGTH": MotionStrength,
        "PORTRAIT_EDIT": ExpressionEdit,
    }
    return isinstance(value, types[kind])


def _shown(value: Any) -> str:
    words = repr(value)
    return words if len(words) <= _SHOWN_TEXT else f"{words[:_SHOWN_TEXT]}..."
