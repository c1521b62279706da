"""What the two ways of sampling, our loop and ComfyUI's own samplers, ask of their inputs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from . import bridge
from .sockets import (
    GuidanceSocket,
    HistorySettings,
    HistorySocket,
    HostedModel,
    HostedReference,
    MotionSocket,
    PortraitModelSocket,
    ReferenceSocket,
    WindowsSocket,
)

if TYPE_CHECKING:
    from ..model_core.config import SamplingConfig
    from ..model_core.types import HistoryFrames


def clip_inputs() -> list[Any]:
    """The sockets that say what to animate and how."""
    return [
        PortraitModelSocket.Input("model", tooltip="The model that encoded the reference."),
        ReferenceSocket.Input("reference", tooltip="From Encode Reference."),
        MotionSocket.Input("motion", tooltip="From Parsing Map Motion; its length is the result's."),
        GuidanceSocket.Input(
            "guidance",
            optional=True,
            tooltip="From Signal Fusion. Without it, the model's own settings.",
        ),
        WindowsSocket.Input(
            "windows",
            optional=True,
            tooltip="From Cyclic Overlap Windows. Without it, the model's own settings.",
        ),
        HistorySocket.Input(
            "history",
            optional=True,
            tooltip="From History Frames. Without it, the model's own settings.",
        ),
    ]


_MOTION_NODES = {"parsing_map": "Parsing Map Motion", "masked_frames": "Masked Frames Motion"}
"""By kind of motion signal, the node that makes it."""


def check_fit(model: HostedModel, reference: HostedReference, motion: Any) -> None:
    """Raise InputError, naming the input, where model, reference and motion do not belong together."""
    config = model.model.config
    if reference.model.config != config:
        raise bridge.InputError(
            f"reference: encoded with model {reference.model.config.name}, animated with {config.name}; connect "
            "the same model to both nodes"
        )
    if motion.kind != config.motion_kind:
        given, wanted = _MOTION_NODES[motion.kind], _MOTION_NODES[config.motion_kind]
        raise bridge.InputError(
            f"motion: comes from {given}, but model {config.name} takes {wanted}'s; connect that node instead, or "
            "load a model that takes this one's"
        )
    if len(motion) == 0:
        raise bridge.InputError("motion: has no frames; give Analyze Faces at least one driving frame with a face")
    height, width = motion.frames.shape[-2:]
    if (height, width) != tuple(config.size):
        raise bridge.InputError(
            f"motion: is {width}x{height}, model {config.name} takes {config.size[1]}x{config.size[0]}; connect "
            "Encode Reference's framed_track to Parsing Map Motion, or set its width and height"
        )


def sampling_settings(
    model: HostedModel, guidance: Any, windows: Any, history: HistorySettings | None, **changes: Any
) -> SamplingConfig:
    """The model's own sampling settings, with what is connected, and ``changes``, in their place."""
    settings = replace(model.model.config.sampling, **changes)
    if guidance is not None:
        settings = replace(
            settings,
            identity=guidance.identity,
            motion=guidance.motion,
            continuity=guidance.continuity,
            guidance_start=guidance.start,
            guidance_end=guidance.end,
        )
    if windows is not None:
        settings = replace(settings, window=windows.length, overlap=windows.overlap, cyclic=windows.cyclic)
    if history is not None:
        settings = replace(settings, history=history.frames, chunk=history.chunk)
    return settings


@torch.no_grad()
def encoded_history(model: HostedModel, history: HistorySettings | None) -> HistoryFrames | None:
    """The earlier frames of History Frames as latents; the model has to be on the device."""
    from ..model_core.images import resize
    from ..model_core.types import HistoryFrames

    if history is None or history.images is None or history.motion is None:
        return None
    images = bridge.to_compute(resize(history.images, model.model.config.size), model)
    return HistoryFrames(
        latents=model.model.autoencoder.encode(images),
        motion=bridge.to_compute(history.motion.frames, model),
    )


def earlier_frames(history: HistorySettings | None) -> int:
    """How many finished frames stand in front of the first one."""
    return 0 if history is None or history.images is None else len(history.images)
