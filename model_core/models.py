"""Portrait models as users see them: found by name, built from their own metadata, loaded whole."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import init_empty_weights
from diffusers.hooks import apply_layerwise_casting
from torch import Tensor, nn

from .autoencoders import FoldAutoencoder, KLAutoencoder, build_autoencoder
from .backbones.base import PortraitBackbone
from .bounds import shown
from .bundled import BUNDLED
from .config import ModelConfig
from .errors import CheckpointError, ModelNotFoundError, PortraitError
from .families import FAMILIES, check_config
from .paths import exists, readable_folder
from .plain import from_json
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
    """A model that was found, as a file or as a folder of them. ``name`` is what ``--model`` takes.

    Attributes:
        problem: why it cannot be read, in words that name the file; empty for a model that can.
    """

    name: str
    path: Path
    family: str
    bundled: bool
    problem: str = ""


_BUILD_ERRORS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What the libraries raise where the numbers of a network do not fit together."""


def build_model(config: ModelConfig) -> PortraitModel:
    """Networks with fresh weights.

    Raises:
        CheckpointError: the config does not describe networks that can be built.
    """
    networks = check_config(config)
    try:
        autoencoder = build_autoencoder(config.autoencoder)
        backbone = FAMILIES[config.family][1](networks, autoencoder)
    except _BUILD_ERRORS as error:
        raise CheckpointError(
            f"model {config.name}: no network can be built from its config ({error}); mend the settings of "
            "model.backbone and model.autoencoder"
        ) from error
    return PortraitModel(config, backbone, autoencoder)


def read_config(path: Path) -> ModelConfig:
    """The config in a model file's metadata, held to its bounds; the weights are not read.

    Raises:
        ModelNotFoundError, CheckpointError: name the file.
    """
    metadata = read_metadata(path)
    if CONFIG_KEY not in metadata:
        raise CheckpointError(
            f"{path}: no VividPortraits config in its metadata, so this is not one of this project's models"
        )
    try:
        config = ModelConfig.from_dict(from_json(metadata[CONFIG_KEY], name="config"))
        check_config(config)
    except (PortraitError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{path}: its config cannot be read ({error}); export the model again") from error
    return config


def listed_models(folders: Sequence[Path] = ()) -> list[ModelEntry]:
    """The models found, bundled ones first: this project's files, and folders of public weights.

    Files that cannot be read are among them, each with its problem; whole files of others are left out.

    Raises:
        ModelNotFoundError: a folder is not there or cannot be listed.
    """
    entries: list[ModelEntry] = []
    for folder in (ASSETS, *folders):
        readable_folder(folder, name="models folder", error=ModelNotFoundError)
        files = (_entry(path, bundled=folder == ASSETS) for path in sorted(folder.glob("*.safetensors")))
        entries += [entry for entry in files if entry is not None]
        if folder != ASSETS:
            found = [path for path in sorted(folder.iterdir()) if holds_weights(path)]
            entries += [ModelEntry(path.name, path, "unet", False) for path in found]
    return sorted(entries, key=_place)


def _entry(path: Path, *, bundled: bool) -> ModelEntry | None:
    """What a file is in a list; None for a whole file that is none of this project's."""
    try:
        if CONFIG_KEY not in read_metadata(path):
            return None
        return ModelEntry(path.stem, path, read_config(path).family, bundled)
    except (CheckpointError, ModelNotFoundError) as error:
        return ModelEntry(path.stem, path, "", bundled, problem=str(error))


def _place(entry: ModelEntry) -> int:
    """In a list: the default model first, then the other bundled one, then the rest as they were found."""
    return BUNDLED.index(entry.name) if entry.bundled and entry.name in BUNDLED else len(BUNDLED)


def find_model(name: str | Path, folders: Sequence[Path] = ()) -> Path:
    """The file or folder of a model given by name or path.

    Raises:
        ModelNotFoundError: lists what there is.
        CheckpointError: the only file of that name cannot be read.
    """
    path = Path(name)
    if str(name) and exists(path) and ((path.suffix == ".safetensors" and path.is_file()) or holds_weights(path)):
        return path
    entries = listed_models(folders)
    named = [entry for entry in entries if entry.name == str(name)]
    for entry in named:
        if not entry.problem:
            return entry.path
    if named:
        raise CheckpointError(named[0].problem)
    names = ", ".join(entry.name for entry in entries if not entry.problem) or "none"
    raise ModelNotFoundError(
        f"model {shown(str(name))} is neither a .safetensors file, nor a folder of weights, nor one of the models "
        f"found: {names}"
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
        name_or_path: a name from ``listed_models``, a ``.safetensors`` file, or a folder of public weights.
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
