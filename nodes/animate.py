"""Stage animate: sample the frames' latents, and decode them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import torch
from comfy_api.latest import io
from torch import Tensor

from ..model_core.config import SamplingConfig, SchedulerName
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

CATEGORY = "VividPortraits/animate"
# ComfyUI draws seeds of 64 bits; torch takes them signed, and a chunk adds its first frame's number
_SEEDS = 2**62


class AnimatePortrait(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VividPortraitsAnimatePortrait",
            display_name="Animate Portrait",
            category=CATEGORY,
            description="Makes the portrait move as the driving motion moves: one frame for every frame of motion.",
            inputs=[
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
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFF_FFFF_FFFF_FFFF,
                    control_after_generate=True,
                    tooltip="Of the initial noise; the same seed gives the same frames on one device.",
                ),
                io.Int.Input(
                    "steps", default=20, min=1, max=1000, tooltip="Denoising steps: more is slower and finer."
                ),
                io.Combo.Input(
                    "scheduler",
                    options=list(get_args(SchedulerName)),
                    default="ddim",
                    tooltip="The solver that walks from noise to frames.",
                ),
            ],
            outputs=[io.Latent.Output(display_name="latents", tooltip="One latent per frame, for Decode Portrait.")],
        )

    @classmethod
    def execute(
        cls,
        model: HostedModel,
        reference: HostedReference,
        motion: Any,
        seed: int,
        steps: int,
        scheduler: str,
        guidance: Any = None,
        windows: Any = None,
        history: HistorySettings | None = None,
    ) -> io.NodeOutput:
        from ..model_core.pipeline import sample_clip
        from ..model_core.sampling.history import plan_chunks

        _check_fit(model, reference, motion)
        settings = _settings(model, seed, steps, scheduler, guidance, windows, history)
        chunks = len(plan_chunks(len(motion), max(settings.chunk, settings.window)))
        bridge.on_device(model, frames=settings.window + settings.history)
        latents = sample_clip(
            model.model,
            bridge.to_compute(reference.reference, model),
            motion,
            settings,
            history=_encoded_history(model, history),
            observer=bridge.SamplingObserver(model.model, chunks=chunks),
        )
        return io.NodeOutput({"samples": bridge.to_rest(latents[0].float())})


class DecodePortrait(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VividPortraitsDecodePortrait",
            display_name="Decode Portrait",
            category=CATEGORY,
            description="Turns latents into frames with the model's own autoencoder.",
            inputs=[
                PortraitModelSocket.Input("model", tooltip="The model that made the latents."),
                io.Latent.Input("latents", tooltip="From Animate Portrait."),
            ],
            outputs=[io.Image.Output(display_name="images", tooltip="The frames, in order.")],
        )

    @classmethod
    def execute(cls, model: HostedModel, latents: dict[str, Tensor]) -> io.NodeOutput:
        from ..model_core.pipeline import decode

        samples, channels = latents["samples"], model.model.backbone.latent_spec.channels
        if samples.ndim != 4 or samples.shape[1] != channels:
            raise bridge.InputError(
                f"latents: shape {tuple(samples.shape)}, model {model.model.config.name} has {channels} channels; "
                "connect the latents that this model made"
            )
        bridge.on_device(model)
        return io.NodeOutput(bridge.to_image(decode(model.model, bridge.to_compute(samples[None], model))))


def _check_fit(model: HostedModel, reference: HostedReference, motion: Any) -> None:
    config = model.model.config
    if reference.model.config != config:
        raise bridge.InputError(
            f"reference: encoded with model {reference.model.config.name}, animated with {config.name}; connect "
            "the same model to both nodes"
        )
    if motion.kind != config.motion_kind:
        raise bridge.InputError(f"motion: is {motion.kind}, model {config.name} takes {config.motion_kind}")
    height, width = motion.frames.shape[-2:]
    if (height, width) != tuple(config.size):
        raise bridge.InputError(
            f"motion: is {width}x{height}, model {config.name} takes {config.size[1]}x{config.size[0]}; connect "
            "Encode Reference's framed_track to Parsing Map Motion, or set its width and height"
        )


def _settings(
    model: HostedModel,
    seed: int,
    steps: int,
    scheduler: str,
    guidance: Any,
    windows: Any,
    history: HistorySettings | None,
) -> SamplingConfig:
    """The model's own sampling settings, with what is connected in their place."""
    settings = replace(model.model.config.sampling, seed=seed % _SEEDS, steps=steps, scheduler=scheduler)
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
def _encoded_history(model: HostedModel, history: HistorySettings | None) -> Any:
    from ..model_core.images import resize
    from ..model_core.types import HistoryFrames

    if history is None or history.images is None or history.motion is None:
        return None
    images = bridge.to_compute(resize(history.images, model.model.config.size), model)
    return HistoryFrames(
        latents=model.model.autoencoder.encode(images),
        motion=bridge.to_compute(history.motion.frames, model),
    )
