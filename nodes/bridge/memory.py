"""Devices, number formats and ComfyUI's model management."""

from __future__ import annotations

import logging
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import comfy.model_management as management
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ..sockets import HostedModel
from .native import HostedNetworks

if TYPE_CHECKING:
    from ...model_core.config import SamplingConfig
    from ...model_core.weights.presets import Role

DTYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float8": torch.float8_e4m3fn,
}
ATTENTIONS = ("auto", "sdpa", "sliced")

_log = logging.getLogger(__name__)


def load_model(path: Path, dtype: str, *, attention: str = "auto", compiled: bool = False) -> HostedModel:
    """Read a model, a file or a folder of public weights, where ComfyUI keeps idle models.

    Args:
        dtype: a key of ``DTYPES``; "auto" is ComfyUI's own choice.
        attention: one of ``ATTENTIONS``; "auto" slices where ComfyUI was started with little memory.
        compiled: let torch compile the denoiser; logs why not where this machine has no compiler.
    """
    return load_files([path], dtype, attention=attention, compiled=compiled)


def load_files(
    paths: list[Path],
    dtype: str,
    *,
    roles: dict[Path, Role] | None = None,
    attention: str = "auto",
    compiled: bool = False,
) -> HostedModel:
    """Assemble a model from files, where ComfyUI keeps idle models.

    Args:
        roles: what some of the files are; else ``load_model``'s.
    """
    from ...model_core.backbones.compiling import compile_denoiser
    from ...model_core.models import load_files as load

    device, offload = management.get_torch_device(), management.unet_offload_device()
    model = load(paths, device=offload, dtype=DTYPES.get(dtype) or _host_dtype(paths), roles=roles)
    model.backbone.use_attention(_attention(attention))
    if compiled:
        reason = compile_denoiser(model.backbone.denoiser, device)
        if reason is not None:
            _log.warning("compile: %s. The model runs uncompiled.", reason)
    return HostedModel(model, ModelPatcher(HostedNetworks(model), device, offload))


def _host_dtype(paths: list[Path]) -> torch.dtype:
    """The number format that ComfyUI computes a model of this size in, on this machine, with its settings.

    A model that overflows in that says so, and gets another one.
    """
    from ...model_core.models import automatic_dtype
    from ...model_core.weights.folder import weight_files

    size = sum(file.stat().st_size for path in paths for file in weight_files(path))
    device, parameters = management.get_torch_device(), size // 2  # files hold float16
    stored = management.unet_dtype(device=device, model_params=parameters)
    dtype = management.unet_manual_cast(stored, device) or stored
    chosen = dtype if dtype in DTYPES.values() else torch.float16  # float8 is a choice of its own
    return automatic_dtype(paths, chosen, device)


def _attention(choice: str) -> str:
    if choice != "auto":
        return choice
    low = management.vram_state in (management.VRAMState.LOW_VRAM, management.VRAMState.NO_VRAM)
    return "sliced" if low else "sdpa"


def on_device(hosted: HostedModel, *, frames: int = 1) -> None:
    """Bring a model onto the compute device; ComfyUI makes room for it and for ``frames`` at once.

    The networks are plain torch layers that cannot stream their weights, so they are loaded whole, also
    where --lowvram or --novram would load a part.
    """
    patcher = hosted.patcher
    needed = patcher.model.pass_memory(frames)
    management.load_models_gpu([patcher], memory_required=needed, force_full_load=True)
    load_whole(patcher)


def device_for_tools(needed: int) -> torch.device:
    """The compute device for networks that ComfyUI does not manage, after it has made room of ``needed`` bytes."""
    device = management.get_torch_device()
    management.free_memory(needed, device)
    return device


def load_whole(patcher: ModelPatcher) -> None:
    """Load what ComfyUI has left behind of a model that it was asked to load."""
    if any(parameter.device != patcher.load_device for parameter in patcher.model.parameters()):
        patcher.load(patcher.load_device, full_load=True)


def log_estimate(hosted: HostedModel, settings: SamplingConfig, *, frames: int, history: int = 0) -> None:
    """Tell in the log what a run will take: network calls (exact) and memory (rough)."""
    from ...model_core.sampling.estimate import estimate_memory, plan_run

    model = hosted.model
    plan = plan_run(frames, settings, history=history)
    memory = estimate_memory(
        model.config,
        model.backbone.latent_spec,
        plan,
        itemsize=model.dtype.itemsize,
        weights=hosted.patcher.model_size(),
    )
    _log.info(
        "%s: %d frames, %d steps, %d chunk(s), %d windows, %d network calls; about %.0f MiB "
        "(weights %.0f, one call %.0f, the clip %.0f)",
        model.config.name,
        frames,
        settings.steps,
        plan.chunks,
        plan.windows,
        plan.network_calls,
        *(size / 2**20 for size in (memory.total, memory.weights, memory.activations, memory.clip)),
    )


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
