"""The nodes, imported with a light double of ComfyUI, and a tiny model for them."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

_DOUBLE = "vividportraits_comfyui_double"


def _double() -> Any:
    """The file beside this one; tests are no package, so it is loaded by its path."""
    if _DOUBLE not in sys.modules:
        spec = importlib.util.spec_from_file_location(_DOUBLE, Path(__file__).with_name("comfyui_double.py"))
        assert spec is not None and spec.loader is not None
        sys.modules[_DOUBLE] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[_DOUBLE])
    return sys.modules[_DOUBLE]


@pytest.fixture(scope="module")
def comfy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The double as a ``Host``; ``comfy.nodes`` is the pack's nodes package."""
    double = _double()
    yield double.install(tmp_path_factory.mktemp("models"))
    double.remove()


@pytest.fixture
def host(comfy: Any) -> Any:
    """The double with nothing recorded and nothing cancelled."""
    comfy.cancelled = False
    comfy.vram_state = "normal"
    comfy.loaded.clear()
    comfy.progress.clear()
    return comfy


@pytest.fixture(scope="module")
def interrupted() -> type[Exception]:
    return _double().InterruptedRunError


@pytest.fixture(scope="module")
def hosted_model(comfy: Any) -> Any:
    """A random model of 32 x 32 pixels as Load Portrait Model gives it."""
    models, config = comfy.module("model_core.models"), comfy.module("model_core.config")
    torch.manual_seed(0)
    model = models.build_model(
        config.ModelConfig(
            name="tiny",
            size=(32, 32),
            autoencoder=config.AutoencoderConfig(kind="fold", stride=4),
            sampling=config.SamplingConfig(steps=2, window=4, overlap=1, history=1, chunk=6),
            backbone={
                "latent_channels": 48,
                "latent_stride": 4,
                "block_out_channels": [8, 16],
                "layers_per_block": 1,
                "down_attention": [False, True],
                "up_attention": [True, False],
                "attention_heads": 2,
                "cross_attention_dim": 16,
                "norm_num_groups": 4,
                "pose_guider_channels": [8, 8, 8],
                "motion_heads": 2,
                "motion_max_length": 8,
                "image_encoder": {
                    "hidden_size": 16,
                    "intermediate_size": 16,
                    "num_hidden_layers": 1,
                    "num_attention_heads": 2,
                    "image_size": 32,
                    "patch_size": 16,
                    "projection_dim": 16,
                },
            },
        )
    )
    folder = comfy.models_dir / "portraits"
    folder.mkdir()
    models.save_model(model, folder / "tiny.safetensors", dtype=torch.float32)
    return comfy.module("nodes.bridge").load_model(folder / "tiny.safetensors", "auto")
