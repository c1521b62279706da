"""Both families whole in float16 and bfloat16: black frames begin where an activation leaves its range."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from model_core.bundled import BUNDLED
from model_core.models import ASSETS, PortraitModel, build_model, load_model, read_config
from model_core.training.avatars import HELD_OUT_SEED, write_identity
from model_core.training.clips import ClipDataset
from model_core.training.config import DataConfig, load_train_config
from model_core.training.sheets import sample_item

CONFIGS = Path(__file__).parents[1] / "model_core" / "training" / "configs"
FRESH = ("avatars_stage1", "avatars_dit_stage1")
TRAINED = [name for name in BUNDLED if read_config(ASSETS / f"{name}.safetensors").backbone.get("baseline")]
"""Bundled files of before the baseline cannot be built any more."""

LARGEST = 1e4  # float16 ends at 65504
APART = {torch.float16: 0.0005, torch.bfloat16: 0.004}
"""The mean difference of pixels, of 2 from black to white, that a format's rounding makes."""


@contextmanager
def largest_activation(network: nn.Module) -> Iterator[dict[str, float]]:
    """Record the largest magnitude that enters or leaves every module, by its name, while the context lasts."""
    seen: dict[str, float] = {}
    hooks = []

    def record(name: str, *values: object) -> None:
        for value in values:
            if isinstance(value, Tensor) and value.is_floating_point() and value.numel():
                seen[name] = max(seen.get(name, 0.0), float(value.detach().abs().max()))
            elif isinstance(value, tuple | list):
                record(name, *value)

    for name, module in network.named_modules():
        hooks.append(module.register_forward_hook(lambda _, given, made, name=name: record(name, given, made)))
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("held_out")
    write_identity(path, HELD_OUT_SEED, frames=4, drivers=1, pictured=1, size=128)
    return path


def build(name: str, dtype: torch.dtype) -> PortraitModel:
    if name in BUNDLED:
        return load_model(name, dtype=dtype)
    torch.manual_seed(0)
    model = build_model(load_train_config(CONFIGS / f"{name}.yaml").model)
    for module in (model.backbone, model.autoencoder):
        module.to(dtype).eval().requires_grad_(False)
    return model


def item_of(model: PortraitModel, folder: Path) -> dict[str, Tensor]:
    data = ClipDataset(
        DataConfig(folder=str(folder), frames=3, cross_identity=1, colour_augment=0, random_scaling=False),
        seed=0,
        length=1,
        consecutive=True,
        motion_kind=model.config.motion_kind,
        baseline=True,
    )
    return {key: value.to(model.dtype) for key, value in data[0].items()}


def test_both_bundled_models_are_asked() -> None:
    assert set(TRAINED) == set(BUNDLED)


@pytest.mark.parametrize("name", [*FRESH, *TRAINED])
def test_a_model_makes_the_same_in_half_the_bits(name: str, folder: Path) -> None:
    made = {}
    for dtype in (torch.float32, *APART):
        model = build(name, dtype)
        assert model.dtype == dtype
        with largest_activation(model.backbone) as seen:
            made[dtype] = sample_item(model, item_of(model, folder), seed=0).float()
        assert len(seen) > 100 and max(seen.values()) < LARGEST, max(seen, key=seen.__getitem__)
    for dtype, limit in APART.items():
        assert made[dtype].isfinite().all() and made[dtype].std() > 0.1
        apart = float((made[dtype] - made[torch.float32]).abs().mean())
        assert apart < limit, dtype


def test_an_activation_out_of_range_is_seen() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))
    nn.init.constant_(network[0].weight, 1e6)
    with largest_activation(network) as seen:
        network(torch.tensor([[1.0, 2.0]]))
    assert seen["0"] > LARGEST and seen["1"] > LARGEST
    assert not network[0]._forward_hooks
