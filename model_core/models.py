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
from diffusers.hooks import apply_layerwise_casting
from safetensors import SafetensorError
from torch import Tensor, nn

from .autoencoders import FoldAutoencoder, KLAutoencoder, build_autoencoder
from .backbones.base import PortraitBackbone
from .backbones.dit import DiTBackbone, DiTConfig
from .backbones.unet import UNetBackbone, UNetConfig
from .bundled import BUNDLED
from .config import ModelConfig
from .errors import CheckpointError, ModelNotFoundError
from .weights.detect import CONFIG_KEY, holds_portrait_model
from .weights.folder import holds_weights, weight_files
from .weights.formats.unet import never_read
from .weights.header import read_header
from .weights.io import read_metadata, write_safetensors
from .weights.load import Source, load_sources
from .weights.plan import Overrides, plan
from .weights.presets import Role

ASSETS = Path(__file__).parent / "assets"

FLOAT8 = torch.float8_e4m3fn
"""Weights are stored in it and computed with in bfloat16: half the memory of float16, at some cost in quality."""

_REFERENCE = "backbone.reference_net."


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
        """Of the arithmetic; weights may be stored in float8."""
        return self.backbone.dtype


@dataclass(frozen=True)
class ModelEntry:
    """A model that was found, as a file or as a folder of them. ``name`` is what ``--model`` takes."""

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
    """The models found, bundled ones first: this project's files, and folders of public weights."""
    entries: list[ModelEntry] = []
    for folder in (ASSETS, *folders):
        for path in sorted(folder.glob("*.safetensors")):
            try:
                family = read_config(path).family
            except (CheckpointError, SafetensorError):
                continue
            entries.append(ModelEntry(path.stem, path, family, folder == ASSETS))
        if folder != ASSETS and folder.is_dir():
            found = [path for path in sorted(folder.iterdir()) if holds_weights(path)]
            entries += [ModelEntry(path.name, path, "unet", False) for path in found]
    return sorted(entries, key=_place)


def _place(entry: ModelEntry) -> int:
    """In a list: the default model first, then the other bundled one, then the rest as they were found."""
    return BUNDLED.index(entry.name) if entry.bundled and entry.name in BUNDLED else len(BUNDLED)


def find_model(name: str | Path, folders: Sequence[Path] = ()) -> Path:
    """The file or folder of a model given by name or path; ModelNotFoundError lists what there is."""
    path = Path(name)
    if (path.suffix == ".safetensors" and path.is_file()) or holds_weights(path):
        return path
    entries = available_models(folders)
    for entry in entries:
        if entry.name == str(name):
            return entry.path
    names = ", ".join(entry.name for entry in entries) or "none"
    raise ModelNotFoundError(
        f"model '{name}' is neither a .safetensors file, nor a folder of weights, nor one of the models found: {names}"
    )


def load_model(
    name_or_path: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    folders: Sequence[Path] = (),
) -> PortraitModel:
    """Load a model wholly or not at all.

    Args:
        name_or_path: a name from ``available_models``, a ``.safetensors`` file, or a folder of public weights.
        dtype: of the weights and of the arithmetic; ``FLOAT8`` of the weights alone.
        folders: where to look besides the bundled models.
    Raises:
        ModelNotFoundError, CheckpointError.
    """
    path = find_model(name_or_path, folders)
    return load_files([path], device=device, dtype=dtype)


def load_files(
    paths: Sequence[str | Path],
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    roles: Mapping[Path, Role] | None = None,
    overrides: Overrides | None = None,
    preset: str | None = None,
) -> PortraitModel:
    """Assemble a model from files and folders, this project's or public ones, wholly or not at all.

    Args:
        paths: in any order; what each of them is, its keys say.
        roles, overrides, preset: what they do not say; see ``weights.plan.survey``. Not for a model of this project.
    Raises:
        ModelNotFoundError, CheckpointError: one error that lists what is missing, in doubt or does not fit.
    """
    file = _own_file(paths)
    if file is not None:
        header = read_header(file)
        own = Source(header, {key: key for key in header.shapes})
        return _load(read_config(file), [own], device=device, dtype=dtype, name=str(file))
    found = plan([Path(path) for path in paths], roles=roles, overrides=overrides, preset=preset)
    names = ", ".join(file.header.path.name for file in found.files)
    return _load(found.config, found.sources, device=device, dtype=dtype, name=names)


def _own_file(paths: Sequence[str | Path]) -> Path | None:
    """The one file that is a whole model of this project, or None."""
    files = [file for path in paths for file in weight_files(Path(path))]
    return files[0] if len(files) == 1 and holds_portrait_model(files[0]) else None


def automatic_dtype(paths: Sequence[str | Path], wanted: torch.dtype, device: torch.device) -> torch.dtype:
    """The number format for files whose user leaves the choice to us.

    Args:
        paths: as for ``load_files``. Public files say nothing of number formats.
        wanted: what suits the device.
    Returns:
        ``wanted``; where the model says of itself that it overflows in that, one of its own that the device
        computes in.
    """
    file = _own_file(paths)
    if file is None:
        return wanted
    known = read_config(file).dtypes
    wider = _wider_than_float16(device)
    return next((dtype for dtype in (wanted, wider) if str(dtype).removeprefix("torch.") in known), torch.float32)


def _load(
    config: ModelConfig, sources: Sequence[Source], *, device: str | torch.device, dtype: torch.dtype, name: str
) -> PortraitModel:
    model = empty_model(config, dtype=dtype, device=device)
    parts = _parts(model)
    reference = [key.removeprefix(_REFERENCE) for key in sources[0].names if key.startswith(_REFERENCE)]
    drops = [_REFERENCE + key for key in never_read(reference)]  # older files of ours still carry them
    load_sources(parts, sources, device=device, name=name, allowed_drops=drops)
    parts.to(device).eval().requires_grad_(False)
    return model


def empty_model(
    config: ModelConfig, *, dtype: torch.dtype = torch.float32, device: str | torch.device = "cpu"
) -> PortraitModel:
    """Networks whose weights take no memory: on the meta device, each already of the type that it will have.

    Args:
        dtype: as for ``load_model``.
        device: where the model will run, which decides the autoencoder's type.
    """
    with init_empty_weights(include_buffers=False):
        model = build_model(config)
    arithmetic = torch.bfloat16 if dtype == FLOAT8 else dtype
    _set_dtype(model.backbone, arithmetic)
    _set_dtype(model.autoencoder, _autoencoder_dtype(arithmetic, torch.device(device)))
    if dtype == FLOAT8:
        for network in model.backbone.large_modules:
            apply_layerwise_casting(network, FLOAT8, arithmetic, skip_modules_pattern=model.backbone.not_float8)
    return model


def _autoencoder_dtype(dtype: torch.dtype, device: torch.device) -> torch.dtype:
    """Float16's range is too small for some images of Stable Diffusion's autoencoder."""
    return _wider_than_float16(device) if dtype == torch.float16 else dtype


def _wider_than_float16(device: torch.device) -> torch.dtype:
    """The smallest number format with float32's range."""
    return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float32


def _set_dtype(module: nn.Module, dtype: torch.dtype) -> None:
    """Of the parameters alone: tables and constants beside them stay exact."""
    for parameter in module.parameters():
        parameter.data = parameter.data.to(dtype)


def _parts(model: PortraitModel) -> nn.ModuleDict:
    return nn.ModuleDict({"backbone": model.backbone, "autoencoder": model.autoencoder})


def save_model(model: PortraitModel, path: Path, *, dtype: torch.dtype = torch.float16) -> None:
    """Write a model as one safetensors file with its config in the metadata."""
    tensors: dict[str, Tensor] = {
        key: value.detach().to("cpu", dtype).contiguous() for key, value in _parts(model).state_dict().items()
    }
    write_safetensors(path, tensors, {CONFIG_KEY: json.dumps(model.config.to_dict()), "format": "pt"})
