"""``config.json`` beside a weights file: what diffusers and transformers write there and no shape tells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

from ...bounds import Bounds, misfit, shown
from ...config import Width
from ...errors import CheckpointError, InputError
from ...plain import from_json
from .piece import Part

_NAME = "config.json"
_FACTOR = Annotated[float, Bounds(0, 1000, above=True)]
_CLASSES: dict[Part, tuple[str, ...]] = {
    "unet": ("UNet2DConditionModel", "UNet3DConditionModel"),
    "motion": ("MotionAdapter", "UNetMotionModel"),
    "pose_guider": (),
    "image_encoder": ("CLIPVisionModelWithProjection", "CLIPVisionModel", "CLIPModel"),
    "autoencoder": ("AutoencoderKL",),
}
"""The classes whose config speaks of a part; a config of another class belongs to another file of the folder."""

_SETTINGS: dict[Part, dict[str, str]] = {
    "unet": {"attention_head_dim": "attention_heads", "norm_num_groups": "norm_num_groups"},
    "motion": {"motion_num_attention_heads": "motion_heads", "motion_norm_num_groups": "motion_norm_groups"},
    "pose_guider": {},
    "image_encoder": {"num_attention_heads": "num_attention_heads", "hidden_act": "hidden_act"},
    "autoencoder": {"norm_num_groups": "norm_num_groups", "scaling_factor": "scaling_factor"},
}
"""Per part, what is read of it: the config's name and ours."""


def settings_beside(path: Path, part: Part) -> dict[str, Any]:
    """The settings of a part in the ``config.json`` of the file's folder; empty where there is none for it.

    Raises:
        CheckpointError: the config is no JSON object, or a setting is not of its type.
    """
    beside = path.with_name(_NAME)
    if not beside.is_file():
        return {}
    config = _read(beside)
    config = {**config, **config.get("vision_config", {})} if part == "image_encoder" else config
    named = [config.get("_class_name"), *_list(config.get("architectures"))]
    classes = {name for name in named if isinstance(name, str)}
    if classes and not classes & set(_CLASSES[part]):
        return {}
    values = {ours: config[theirs] for theirs, ours in _SETTINGS[part].items() if config.get(theirs) is not None}
    wrong = [name for name, value in values.items() if not _KINDS[name](value)]
    if wrong:
        raise CheckpointError(f"{beside}: {wrong[0]} is {shown(values[wrong[0]])}, which no such network has")
    return values


def _read(path: Path) -> Mapping[str, Any]:
    try:
        config = from_json(path.read_text("utf-8"), name="its text")
    except (OSError, ValueError, InputError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); get it again, or remove it") from error
    if not isinstance(config, dict) or not isinstance(config.get("vision_config", {}), dict):
        raise CheckpointError(f"{path} is no settings file; get it again, or remove it")
    return config


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _count(value: Any) -> bool:
    return misfit(value, Width) == ""


_KINDS: dict[str, Callable[[Any], bool]] = {
    "attention_heads": _count,
    "norm_num_groups": _count,
    "motion_heads": _count,
    "motion_norm_groups": _count,
    "num_attention_heads": _count,
    "hidden_act": lambda value: isinstance(value, str),
    "scaling_factor": lambda value: misfit(value, _FACTOR) == "",
}
