"""Settings keep to their bounds, and no settings class has a number without any."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest

from model_core.backbones.dit.config import DiTConfig
from model_core.backbones.unet.config import UNetConfig
from model_core.bounds import Bounds, check_arguments, misfit, shown
from model_core.config import AutoencoderConfig, ModelConfig, SamplingConfig, ScheduleConfig
from model_core.errors import CheckpointError, InputError, PortraitError
from model_core.jobs import FaceSettings, VideoJob
from model_core.motion.scenes import MotionSettings
from model_core.motion.strength import MotionStrength
from model_core.sampling import CyclicOverlap, SignalFusion
from model_core.sampling.windows import WrappedWindows
from model_core.training.config import ConditionConfig, DataConfig, OptimConfig, TrainConfig

NEEDED: dict[type, dict[str, Any]] = {
    ModelConfig: {"name": "tiny"},
    DataConfig: {"folder": "clips"},
    OptimConfig: {"steps": 1},
    CyclicOverlap: {"length": 4, "overlap": 1},
    WrappedWindows: {"length": 4, "overlap": 1},
}
"""What a class cannot be made without."""
MADE = [
    *(ScheduleConfig, SamplingConfig, AutoencoderConfig, ModelConfig, UNetConfig, DiTConfig),
    *(DataConfig, OptimConfig, ConditionConfig, FaceSettings, MotionSettings, MotionStrength),
    *(SignalFusion, CyclicOverlap, WrappedWindows),
]
ALL = [*MADE, TrainConfig, VideoJob]


def bare_numbers(wanted: Any, *, bounded: bool = False) -> list[Any]:
    """The number types of an annotation that stand without bounds."""
    if wanted in (int, float):
        return [] if bounded else [wanted]
    if get_origin(wanted) is Annotated:
        inner = get_args(wanted)[0]
        return bare_numbers(inner, bounded=isinstance(get_args(wanted)[1], Bounds))
    if get_origin(wanted) is Literal:
        return []
    return [bare for part in get_args(wanted) for bare in bare_numbers(part)]


@pytest.mark.parametrize("kind", ALL)
def test_every_number_has_bounds(kind: type) -> None:
    for name, wanted in get_type_hints(kind, include_extras=True).items():
        if get_origin(wanted) is not dict:
            assert not bare_numbers(wanted), f"{kind.__name__}.{name}"


def numbers(kind: type) -> list[str]:
    return [
        name
        for name, wanted in get_type_hints(kind, include_extras=True).items()
        if get_origin(wanted) is Annotated and get_args(wanted)[0] in (int, float)
    ]


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, "1", None, [1], 10**400, -(10**400), 1j])
def test_what_is_no_number_of_any_setting_is_refused_with_its_name(kind: type, value: Any) -> None:
    for name in numbers(kind):
        with pytest.raises(PortraitError, match=name):
            kind(**{**NEEDED.get(kind, {}), name: value})


@pytest.mark.parametrize("kind", MADE)
def test_the_defaults_and_numpy_s_numbers_fit(kind: type) -> None:
    made = kind(**NEEDED.get(kind, {}))
    if "steps" in numbers(kind):
        assert dataclasses.replace(made, steps=np.int64(3)).steps == 3


@pytest.mark.parametrize(
    ("value", "wanted", "remedy"),
    [
        (1, bool, "must be true or false"),
        (1, str, "must be text"),
        (True, Literal[1, 2], "choose 1 or 2"),
        ("c", Literal["a", "b"], "choose a or b"),
        (0, Annotated[float, Bounds(0, 1, above=True)], "must be above 0 and at most 1"),
        (2, Annotated[int, Bounds(3, 4)] | None, "must be from 3 to 4, or must be nothing"),
        ([1, 2], tuple[int, int], "must be a list with 2 entries"),
        ((1, "2"), tuple[int, ...], "every entry must be a whole number"),
        ((1,) * 9, Annotated[tuple[int, ...], Bounds(1, 8)], "must have from 1 to 8 entries"),
        ("x", Path, "must be a Path"),
        (3, dict[str, Any], "must be settings by name"),
    ],
)
def test_a_misfit_says_what_fits(value: Any, wanted: Any, remedy: str) -> None:
    assert misfit(value, wanted) == remedy


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (1, float),
        (None, Annotated[int, Bounds(3, 4)] | None),
        (4, Annotated[int, Bounds(3, 4)]),
        ((), tuple[int, ...]),
        ((1, 2), tuple[int, int]),
        ("anything", Any),
    ],
)
def test_what_fits_fits(value: Any, wanted: Any) -> None:
    assert misfit(value, wanted) == ""


@pytest.mark.parametrize(
    "arguments",
    [
        {"layers_per_block": 10**7},
        {"block_out_channels": [64, 800_000]},
        {"num_hidden_layers": math.nan},
        {"block_out_channels": [8] * 1000},
    ],
)
def test_another_library_s_arguments_keep_within_what_a_network_can_have(arguments: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match=f"kl: {next(iter(arguments))}"):
        check_arguments(arguments, what="kl: ", error=CheckpointError)
    check_arguments({"layers_per_block": 2, "act_fn": "silu", "flag": True, "none": None}, what="kl: ")


def test_fields_that_do_not_go_together_are_refused_when_they_are_set() -> None:
    with pytest.raises(InputError, match="overlap 4 with window 4"):
        SamplingConfig(window=4)
    with pytest.raises(InputError, match=r"guidance_start 0\.5 is after guidance_end 0\.2"):
        SamplingConfig(guidance_start=0.5, guidance_end=0.2)
    with pytest.raises(InputError, match="size 130 x 128: both sides must be multiples"):
        ModelConfig(name="tiny", size=(130, 128))
    with pytest.raises(CheckpointError, match="pos_embed_max_size 1024 with tokens of width 4096"):
        DiTConfig(pos_embed_max_size=1024, num_attention_heads=64, caption_projection_dim=4096)


def test_values_are_shown_on_one_line() -> None:
    assert shown("x" * 500).endswith("x...") and len(shown("x" * 500)) < 80
    assert shown(16**5000) == "of about 6021 digits"
    assert shown("a\nb") == "'a\\nb'"
