"""The only file that knows ComfyUI's services: folders, devices, memory, progress, picture layouts."""

from __future__ import annotations

import logging
import os
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import comfy.model_management as management
import folder_paths
import torch
from comfy.model_patcher import ModelPatcher
from comfy.utils import ProgressBar
from PIL import Image
from torch import Tensor, nn

from ..model_core.errors import InputError
from .sockets import HostedModel

MODELS_FOLDER = "portraits"
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}

_ASSETS = Path(__file__).parent.parent / "model_core" / "assets"
_PREVIEW_SIDE = 512
# Live activations of one window, in tensors of the first level's size: SD1.5 on 16 frames of 512 x 512 in
# float16, with diffusers' attention, peaks at about this many.
_LIVE_TENSORS = 120

_log = logging.getLogger(__name__)


# ---- folders


def register_model_folder() -> None:
    """Make ``models/portraits`` (and what extra_model_paths.yaml adds to it) a folder that ComfyUI knows."""
    folder_paths.add_model_folder_path(MODELS_FOLDER, os.path.join(folder_paths.models_dir, MODELS_FOLDER))


def model_names() -> list[str]:
    """Bundled models by their plain name, then the files of the models folder by their file name."""
    bundled = sorted(path.stem for path in _ASSETS.glob("*.safetensors"))
    installed = folder_paths.get_filename_list(MODELS_FOLDER)
    return [*bundled, *(name for name in installed if name.endswith(".safetensors"))]


def model_path(name: str) -> Path | None:
    """The file behind a name of ``model_names``; None where it is gone."""
    bundled = _ASSETS / f"{name}.safetensors"
    if bundled.is_file():
        return bundled
    found = folder_paths.get_full_path(MODELS_FOLDER, name)
    return None if found is None else Path(found)


def asset(name: str) -> Path:
    """A bundled file; DESIGN: small demo media and models live in the library's ``assets``."""
    return _ASSETS / name


def model_folders() -> list[Path]:
    """Where a user may put models, the face landmarker's file among them."""
    return [Path(folder) for folder in folder_paths.get_folder_paths(MODELS_FOLDER)]


# ---- devices and memory


class PortraitNetworks(nn.Module):
    """All networks of a model as the one module that ComfyUI moves (its name shows in ComfyUI's log)."""

    def __init__(self, backbone: nn.Module, autoencoder: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.autoencoder = autoencoder


def load_model(path: Path, dtype: str) -> HostedModel:
    """Read a model where ComfyUI keeps idle models; ``dtype`` "auto" is ComfyUI's own choice."""
    from ..model_core.models import load_model as load

    offload = management.unet_offload_device()
    model = load(path, device=offload, dtype=DTYPES.get(dtype) or _host_dtype(path))
    networks = PortraitNetworks(model.backbone, model.autoencoder)
    return HostedModel(model, ModelPatcher(networks, management.get_torch_device(), offload))


def _host_dtype(path: Path) -> torch.dtype:
    parameters = path.stat().st_size // 2  # files hold float16
    dtype = management.unet_dtype(device=management.get_torch_device(), model_params=parameters)
    return dtype if dtype in DTYPES.values() else torch.float16  # float8 needs layers that cast


def on_device(hosted: HostedModel, *, frames: int = 1) -> None:
    """Bring a model onto the compute device; ComfyUI makes room for it and for ``frames`` at once.

    The networks are plain torch layers that cannot stream their weights, so they are loaded whole, also
    where --lowvram or --novram would load a part.
    """
    patcher = hosted.patcher
    management.load_models_gpu([patcher], memory_required=_working_memory(hosted, frames), force_full_load=True)
    if any(parameter.device != patcher.load_device for parameter in patcher.model.parameters()):
        patcher.load(patcher.load_device, full_load=True)


def _working_memory(hosted: HostedModel, frames: int) -> int:
    config, spec = hosted.model.config, hosted.model.backbone.latent_spec
    tokens = (config.size[0] // spec.stride) * (config.size[1] // spec.stride)
    width = max(spec.channels, config.backbone.get("block_out_channels", [320])[0])
    return frames * tokens * width * hosted.model.dtype.itemsize * _LIVE_TENSORS


def to_compute(value: Any, hosted: HostedModel) -> Any:
    """Every tensor inside ``value`` on the model's device, in the model's type."""
    return _move(value, hosted.patcher.load_device, hosted.model.dtype)


def to_rest(value: Any) -> Any:
    """Every tensor inside ``value`` where ComfyUI keeps intermediate results, so that it holds no VRAM."""
    return _move(value, management.intermediate_device(), None)


def _move(value: Any, device: torch.device, dtype: torch.dtype | None) -> Any:
    if isinstance(value, Tensor):
        return value.to(device, dtype if value.is_floating_point() else None)
    if isinstance(value, dict):
        return {key: _move(item, device, dtype) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_move(item, device, dtype) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: _move(getattr(value, f.name), device, dtype) for f in fields(value)})
    return value


# ---- progress, previews, cancelling


class Progress:
    """A counter for the library's ``progress`` callbacks; raises ComfyUI's interrupt on Cancel."""

    def __init__(self, total: int) -> None:
        self._bar = ProgressBar(max(total, 1))
        self._done = 0

    def __call__(self, *_: Any) -> None:
        management.throw_exception_if_processing_interrupted()
        self._done += 1
        self._bar.update_absolute(self._done)


class SamplingObserver:
    """The library's StepObserver: ComfyUI's progress bar after every window, a preview after every step.

    Args:
        model: whose autoencoder makes the previews.
        chunks: how many times the loop will run from its first step.
    """

    def __init__(self, model: Any, *, chunks: int) -> None:
        self._model = model
        self._chunks = chunks
        self._chunk = 0
        self._bar = ProgressBar(1)

    def __call__(self, event: Any) -> None:
        management.throw_exception_if_processing_interrupted()
        # in steps, with a fraction: cyclic overlap has not the same number of windows in every step
        done = self._chunk * event.steps + event.step + event.window / event.windows
        preview = self._preview(event.latents) if event.step_done else None
        self._bar.update_absolute(done, self._chunks * event.steps, preview)
        if event.step_done and event.step + 1 == event.steps:
            self._chunk += 1

    def _preview(self, latents: Tensor) -> tuple[str, Image.Image, int]:
        from ..model_core.images import to_uint8
        from ..model_core.pipeline import decode

        middle = latents.shape[1] // 2
        image = to_uint8(decode(self._model, latents[:, middle : middle + 1]))[0]
        return "JPEG", Image.fromarray(image), _PREVIEW_SIDE


# ---- ComfyUI's picture layouts: IMAGE (F, H, W, C) in [0, 1], MASK (F, H, W) in [0, 1]


def from_image(image: Tensor, *, name: str) -> Tensor:
    """IMAGE to (F, 3, H, W) in [-1, 1]; small overshoot, as of sharpening upscalers, is clamped.

    Raises:
        InputError: no frames, an alpha channel, NaN or infinite pixels; names the input.
    """
    from ..model_core.images import check_image

    if image.ndim != 4 or image.shape[0] == 0:
        raise InputError(f"{name}: is empty, shape {tuple(image.shape)}; connect at least one image")
    if image.shape[-1] == 4:
        raise InputError(
            f"{name}: has an alpha channel; put ComfyUI's 'Split Image with Alpha' before it and, for a portrait, "
            "connect the inverted mask too"
        )
    frames = image.permute(0, 3, 1, 2).float() * 2.0 - 1.0
    # clamping would turn infinite pixels into white ones and hide what is wrong with them
    return check_image(torch.where(frames.isinf(), frames, frames.clamp(-1.0, 1.0)), name=name)


def to_image(frames: Tensor) -> Tensor:
    """(F, 3, H, W) in [-1, 1] to IMAGE."""
    return unit_to_image((frames + 1.0) / 2.0)


def unit_to_image(frames: Tensor) -> Tensor:
    """(F, 3, H, W) in [0, 1] to IMAGE."""
    return frames.clamp(0.0, 1.0).permute(0, 2, 3, 1).float().to(management.intermediate_device()).contiguous()


def pixels_to_image(pixels: Any) -> Tensor:
    """(F, H, W, 3) uint8 to IMAGE."""
    return torch.from_numpy(pixels).to(management.intermediate_device()).float() / 255.0


def from_mask(mask: Tensor, *, size: tuple[int, int], name: str) -> Tensor:
    """One MASK to (1, 1, *size) in [0, 1].

    Raises:
        InputError: several masks, NaN, or nothing in it, as ComfyUI's Load Image gives for an opaque image.
    """
    mask = mask.reshape(-1, 1, *mask.shape[-2:]).float()
    if len(mask) != 1:
        raise InputError(f"{name}: {len(mask)} masks for one portrait; pick one of them")
    if not torch.isfinite(mask).all():
        raise InputError(f"{name}: NaN or infinite values; check the node that made it")
    if not (mask > 0).any():
        raise InputError(
            f"{name}: is empty. It has to be 1 on the person; Load Image's mask is 1 where the image is "
            "transparent: invert it, or disconnect it where the image has no transparency"
        )
    if tuple(mask.shape[-2:]) != tuple(size):
        mask = nn.functional.interpolate(mask, size=size, mode="bilinear", antialias=True)
    return mask.clamp(0.0, 1.0)
