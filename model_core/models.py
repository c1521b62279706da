"""Portrait models as users see them: found by name, built from their own metadata, loaded whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from accelerate import init_empty_weights
from safetensors import SafetensorError
from torch import Tensor, nn

from .autoencoders import FoldAutoencoder, KLAutoencoder, build_autoencoder
from .backbones.base import PortraitBackbone
from .backbones.dit import DiTBackbone, DiTConfig
from .backbones.unet import UNetBackbone, UNetConfig
from .config import ModelConfig
from .errors import CheckpointError, ModelNotFoundError
from .weights.detect import CONFIG_KEY
from .weights.io import read_metadata, read_safetensors, write_safetensors
from .weights.load import load_strict

ASSETS = Path(__file__).parent / "assets"


@dataclass(frozen=True)
class PortraitModel:
    """A model ready to animate.

    Attributes:
        config: what it is.
        backbone: the denoiser with its conditioning networks.
        autoencoder: ``encode`` (N, 3, H, W) to (N, C, h, w) and ``decode`` back.
    """

    config: ModelConfig
    backbone: PortraitBackbone
    autoencoder: FoldAutoencoder | KLAutoencoder

    @property
    def device(self) -> torch.device:
        return next(self.backbone.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.backbone.parameters()).dtype


@dataclass(frozen=True)
class ModelEntry:
    """A model file that was found. ``name`` is what ``--model`` takes."""

    name: str
    path: Path
    family: str
    bundled: bool


_FAMILIES: Mapping[str, tuple[Callable[..., Any], Callable[[Any, Any], PortraitBackbone]]] = MappingProxyType(
    {
        "unet": (UNetConfig, lambda config, autoencoder: UNetBackbone(config)),
        "dit": (DiTConfig, lambda config, autoencoder: DiTBackbone(config, autoencoder.encode)),
    }
)
"""By family: its config, and how its backbone is built from config and autoencoder."""


def build_model(config: ModelConfig) -> PortraitModel:
    """Networks with fresh weights; an unknown family is a CheckpointError."""
    if config.family not in _FAMILIES:
        known = ", ".join(sorted(_FAMILIES))
        raise CheckpointError(f"model {config.name}: family '{config.family}' is not known here; known: {known}")
    settings, build = _FAMILIES[config.family]
    try:
        networks = settings(**config.backbone)
    except TypeError as error:
        raise CheckpointError(
            f"model {config.name}: its backbone has settings that are not known here ({error})"
        ) from error
    autoencoder = build_autoencoder(config.autoencoder)
    return PortraitModel(config, build(networks, autoencoder), autoencoder)


def read_config(path: Path) -> ModelConfig:
    """The config in a model file's metadata; the weights are not read."""
    metadata = read_metadata(path)
    if CONFIG_KEY not in metadata:
        raise CheckpointError(
            f"{path}: no VividPortraits config in its metadata, so this is not one of this project's models"
        )
    try:
        return ModelConfig.from_dict(json.loads(metadata[CONFIG_KEY]))
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{path}: its config cannot be read ({error}); export the model again") from error


def available_models(folders: Sequence[Path] = ()) -> list[ModelEntry]:
    """The models found, bundled ones first; files that are not this project's are left out."""
    entries = []
    for folder in (ASSETS, *folders):
        for path in sorted(folder.glob("*.safetensors")):
            try:
                family = read_config(path).family
            except (CheckpointError, SafetensorError):
                continue
            entries.append(ModelEntry(path.stem, path, family, folder == ASSETS))
    return entries


def find_model(name: str | Path, folders: Sequence[Path] = ()) -> Path:
    """The file of a model given by name or path; ModelNotFoundError lists what there is."""
    path = Path(name)
    if path.suffix == ".safetensors" and path.is_file():
        return path
    entries = available_models(folders)
    for entry in entries:
        if entry.name == str(name):
            return entry.path
    names = ", ".join(entry.name for entry in entries) or "none"
    raise ModelNotFoundError(f"model '{name}' is neither a .safetensors file nor one of the models found: {names}")


def load_model(
    name_or_path: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    folders: Sequence[Path] = (),
) -> PortraitModel:
    """Load a model wholly or not at all.

    Args:
        name_or_path: a name from ``available_models`` or a ``.safetensors`` file.
        dtype: of the weights and of the arithmetic.
        folders: where to look besides the bundled models.
    Raises:
        ModelNotFoundError, CheckpointError.
    """
    path = find_model(name_or_path, folders)
    config = read_config(path)
    with init_empty_weights(include_buffers=False):  # no memory is spent on weights that the file brings
        model = build_model(config)
    tensors, _ = read_safetensors(path, device=device, dtype=dtype)
    parts = nn.ModuleDict({"backbone": model.backbone, "autoencoder": model.autoencoder})
    load_strict(parts, tensors, name=str(path))
    for module in (model.backbone, model.autoencoder):
        module.to(device).eval().requires_grad_(False)
    return model


def save_model(model: PortraitModel, path: Path, *, dtype: torch.dtype = torch.float16) -> None:
    """Write a model as one safetensors file with its config in the metadata."""
    parts = nn.ModuleDict({"backbone": model.backbone, "autoencoder": model.autoencoder})
    tensors: dict[str, Tensor] = {
        key: value.detach().to("cpu", dtype).contiguous() for key, value in parts.state_dict().items()
    }
    write_safetensors(path, tensors, {CONFIG_KEY: json.dumps(model.config.to_dict()), "format": "pt"})
