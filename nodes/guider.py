"""Stage animate, with ComfyUI's own samplers instead of our loop."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from . import bridge
from .aliases import search_aliases
from .settings import MAX_STEPS, OWN_STEPS, STEPS_WORDS, check_fit, clip_inputs, encoded_history, sampling_settings
from .sockets import HistorySettings, HostedModel, HostedReference, PortraitModelSocket

CATEGORY = "VividPortraits/animate"


class PortraitGuider(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VividPortraitsPortraitGuider",
            display_name="Portrait Guider",
            category=CATEGORY,
            **search_aliases("cfg guider", "custom sampling", "signal fusion guider"),
            description="Lets ComfyUI's SamplerCustomAdvanced, with any sampler, make the portrait move; windows, "
            "signal fusion and history work inside.",
            inputs=[
                *clip_inputs(),
                io.Image.Input(
                    "start_images",
                    optional=True,
                    tooltip="Frames to start from, as Carry Portrait's, one for each frame of motion, where the "
                    "denoise of the sigmas is below 1. Without them, latents are empty, for pure noise.",
                ),
            ],
            outputs=[
                io.Guider.Output(display_name="guider", tooltip="For SamplerCustomAdvanced."),
                io.Latent.Output(
                    display_name="latents",
                    tooltip="One per frame of motion, for SamplerCustomAdvanced's latent_image: empty, or start_images "
                    "encoded.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: HostedModel,
        reference: HostedReference,
        motion: Any,
        guidance: Any = None,
        windows: Any = None,
        history: HistorySettings | None = None,
        start_images: Tensor | None = None,
    ) -> io.NodeOutput:
        from ..model_core.sampling.guidance import SignalFusion
        from ..model_core.sampling.windows import make_windows

        check_fit(model, reference, motion)
        settings = sampling_settings(model, guidance, windows, history)
        guider = bridge.PortraitGuider(
            model,
            reference.reference,
            motion,
            windows=make_windows(settings),
            guidance=SignalFusion(
                identity=settings.identity,
                motion=settings.motion,
                continuity=settings.continuity,
                start=settings.guidance_start,
                end=settings.guidance_end,
            ),
            settings=settings,
            history=lambda: encoded_history(model, reference, history),
        )
        latents = _first_latents(model, reference, len(motion), start_images)
        return io.NodeOutput(guider, {"samples": bridge.to_rest(latents)})


def _first_latents(model: HostedModel, reference: HostedReference, frames: int, images: Tensor | None) -> Tensor:
    """(frames, C, h, w) float32: the images' latents, or empty ones."""
    if images is None:
        spec, (height, width) = model.model.backbone.latent_spec, model.model.config.size
        return torch.zeros(frames, spec.channels, height // spec.stride, width // spec.stride)
    if len(images) != frames:
        raise bridge.InputError(
            f"start_images: {len(images)} frames, the motion has {frames}; connect one for each frame of motion"
        )
    pixels = bridge.from_image(images, name="start_images")
    pixels = bridge.as_the_model_sees(reference.reference, pixels, size=model.model.config.size)
    bridge.on_device(model)
    return bridge.encode_images(model, pixels).float()


class PortraitSigmas(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VividPortraitsPortraitSigmas",
            display_name="Portrait Sigmas",
            category=CATEGORY,
            **search_aliases("scheduler", "noise schedule"),
            description="The noise levels that the model was made for, as Animate Portrait takes them, for "
            "SamplerCustomAdvanced.",
            inputs=[
                PortraitModelSocket.Input("model", tooltip="The model that Portrait Guider drives."),
                io.Int.Input(
                    "steps",
                    default=OWN_STEPS,
                    min=OWN_STEPS,
                    max=MAX_STEPS,
                    tooltip=STEPS_WORDS,
                ),
                io.Float.Input(
                    "denoise",
                    default=1.0,
                    min=0.01,
                    max=1.0,
                    step=0.01,
                    tooltip="1 starts from pure noise. Lower values start from given latents, as those of Portrait "
                    "Guider's start_images, and keep more of them: all steps then walk that last part of the way.",
                ),
            ],
            outputs=[io.Sigmas.Output(display_name="sigmas", tooltip="For SamplerCustomAdvanced.")],
        )

    @classmethod
    def execute(cls, model: HostedModel, steps: int, denoise: float) -> io.NodeOutput:
        chosen = model.model.config.sampling.steps if steps == OWN_STEPS else steps
        if chosen < 1:
            raise bridge.InputError("steps: 0 leaves nothing to sample; choose -1, the model's own, or at least 1")
        return io.NodeOutput(bridge.model_sigmas(model, chosen, denoise=denoise))
