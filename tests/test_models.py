"""Model files: written, found by name, and loaded wholly or not at all."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from model_core.bundled import BUNDLED
from model_core.config import ModelConfig
from model_core.errors import CheckpointError, InputError, ModelNotFoundError
from model_core.models import (
    ASSETS,
    PortraitModel,
    build_model,
    find_model,
    listed_models,
    load_model,
    read_config,
    save_model,
)
from model_core.weights.io import read_safetensors, write_safetensors


@pytest.fixture
def saved(tiny_model: PortraitModel, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    save_model(tiny_model, path)
    return path


def rewrite(path: Path, *, drop: str | None = None, **config: object) -> None:
    """The file again with one tensor less, or with other settings."""
    tensors, metadata = read_safetensors(path)
    if drop is not None:
        del tensors[drop]
    (key,) = (key for key in metadata if key.endswith("config"))
    metadata[key] = json.dumps({**json.loads(metadata[key]), **config})
    write_safetensors(path, tensors, metadata)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_what_is_saved_is_loaded(tiny_model: PortraitModel, tmp_path: Path, dtype: torch.dtype) -> None:
    path = tmp_path / "tiny.safetensors"
    save_model(tiny_model, path, dtype=dtype)
    loaded = load_model(path, dtype=torch.float32)
    assert loaded.config == tiny_model.config
    assert loaded.dtype == torch.float32 and not loaded.backbone.training
    assert not any(parameter.requires_grad for parameter in loaded.backbone.parameters())
    wanted = tiny_model.backbone.state_dict()
    for name, value in loaded.backbone.state_dict().items():
        assert torch.equal(value, wanted[name].to(dtype).to(value)), name
    assert all(tensor.dtype == dtype for tensor in read_safetensors(path)[0].values() if tensor.is_floating_point())


def test_a_file_says_which_dtypes_it_can_be_computed_in(tiny_model: PortraitModel, saved: Path) -> None:
    assert read_config(saved).dtypes == ("float32", "bfloat16", "float16")
    rewrite(saved, dtypes=["float32"])
    assert read_config(saved).dtypes == ("float32",)
    tensors, metadata = read_safetensors(saved)
    (key,) = (key for key in metadata if key.endswith("config"))
    older = json.loads(metadata[key])
    del older["dtypes"]
    write_safetensors(saved, tensors, {**metadata, key: json.dumps(older)})
    assert read_config(saved) == tiny_model.config


def test_the_arithmetic_takes_the_type_asked_for(saved: Path) -> None:
    assert load_model(saved, dtype=torch.bfloat16).dtype == torch.bfloat16


def test_the_config_survives_json(tiny_config: ModelConfig) -> None:
    assert ModelConfig.from_dict(json.loads(json.dumps(tiny_config.to_dict()))) == tiny_config


def test_bundled_models_come_first_and_foreign_files_are_left_out(saved: Path) -> None:
    write_safetensors(saved.with_name("a_foreign.safetensors"), {"x": torch.zeros(1)})
    saved.with_name("a_text.safetensors").write_text("no tensors at all")
    saved.with_name("a_half.safetensors").write_bytes(saved.read_bytes()[:100])
    entries = [entry for entry in listed_models([saved.parent]) if not entry.problem]
    assert sorted(BUNDLED) == sorted(path.stem for path in ASSETS.glob("*.safetensors"))
    assert [entry.name for entry in entries] == [*BUNDLED, "tiny"]
    assert [entry.family for entry in entries] == ["unet", "dit", "unet"]
    assert [entry.bundled for entry in entries] == [True, True, False]
    assert entries[-1].path == saved and entries[-1].family == "unet"
    problems = {entry.name: entry.problem for entry in listed_models([saved.parent]) if entry.problem}
    assert sorted(problems) == ["a_half", "a_text"], "a whole file of others is no problem"
    assert all(name in problem for name, problem in problems.items())


def test_a_model_that_cannot_be_read_is_told_by_its_name_alone(saved: Path) -> None:
    saved.with_name("half.safetensors").write_bytes(saved.read_bytes()[:100])
    assert find_model("tiny", [saved.parent]) == saved
    with pytest.raises(CheckpointError, match=r"half\.safetensors is not a whole safetensors file"):
        find_model("half", [saved.parent])
    with pytest.raises(ModelNotFoundError, match="models folder nowhere: no such folder"):
        find_model("tiny", [Path("nowhere")])


def test_models_are_found_by_name_and_by_path(saved: Path) -> None:
    assert find_model("tiny", [saved.parent]) == saved
    assert find_model(saved) == saved


def test_an_unknown_name_lists_the_known_ones(saved: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"'vivid-nothing'.*tiny"):
        find_model("vivid-nothing", [saved.parent])


def test_a_missing_tensor_is_named_and_nothing_is_loaded(saved: Path) -> None:
    name = "backbone.denoiser.unet.conv_in.weight"
    rewrite(saved, drop=name)
    with pytest.raises(CheckpointError, match=rf"tiny\.safetensors.*\n.*missing \(1\): {name}"):
        load_model(saved)


def test_foreign_and_truncated_files_are_named(saved: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.safetensors"
    write_safetensors(foreign, {"x": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"foreign\.safetensors is of a kind that is not known here; it holds x"):
        load_model(foreign)
    half = tmp_path / "half.safetensors"
    half.write_bytes(saved.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match=r"half\.safetensors"):
        load_model(half)


@pytest.mark.parametrize("config", [{"nothing": 1}, {"size": None}, {"schedule": {"betas": 3}}])
def test_a_config_that_cannot_be_read_names_the_file(saved: Path, config: dict[str, object]) -> None:
    rewrite(saved, **config)
    with pytest.raises(CheckpointError, match=r"tiny\.safetensors: its config cannot be read"):
        read_config(saved)


def test_unknown_families_and_backbone_settings_are_named(tiny_config: ModelConfig) -> None:
    with pytest.raises(InputError, match="family 'rwkv': choose unet or dit"):
        dataclasses.replace(tiny_config, family="rwkv")
    with pytest.raises(CheckpointError, match="colour_of_hair"):
        build_model(dataclasses.replace(tiny_config, backbone={**tiny_config.backbone, "colour_of_hair": 1}))
