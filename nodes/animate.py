"""Stage animate: sample the frames' latents, and decode them."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from . import bridge
from .aliases import search_aliases
from .settings import (
    SEEDS,
    check_fit,
    check_sampler,
    clip_inputs,
    denoise_input,
    earlier_frames,
    encoded_history,
    sampler_inputs,
    sampling_settings,
)
from .sockets import HistorySettings, HostedModel, HostedReference, PortraitModelSocket

CATEGORY = "VividPortraits/animate"


class AnimatePortrait(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VividPortraitsAnimatePortrait",
            display_name="Animate Portrait",
            category=CATEGORY,
            **search_aliases("talking head", "reenactment", "portrait sampler", "face animation"),
            description="Makes the portrait move as the driving motion moves: one frame for every frame of motion.",
            inputs=[
                *clip_inputs(),
                *sampler_inputs(seed="Of the noise; the same seed gives the same frames on one device."),
                denoise_input(),
            ],
            outputs=[
                io.Latent.Output(display_name="latents", tooltip="One latent per frame, for Decode Portrait."),
                io.Image.Output(display_name="images", tooltip="The frames, decoded, in order."),
            ],
        )

    @classmethod
    def validate_inputs(cls, steps: int | None, scheduler: str | None) -> bool | str:
        return check_sampler(steps, scheduler)

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
        denoise: float = 1.0,
    ) -> io.NodeOutput:
        from ..model_core.pipeline import sample_clip
        from ..model_core.sampling.estimate import plan_run

        check_fit(model, reference, motion)
        settings = sampling_settings(
            model, guidance, windows, history, seed=seed % SEEDS, steps=steps, scheduler=scheduler, denoise=denoise
        )
        earlier = earlier_frames(history)
        bridge.log_estimate(model, settings, frames=len(motion), history=earlier)
        plan = plan_run(len(motion), settings, history=earlier)
        bridge.on_device(model, frames=plan.frames_at_once)
        latents = sample_clip(
            bridge.cancellable(model.model),
            bridge.to_compute(reference.reference, model),
            motion,
            settings,
            history=encoded_history(model, history),
            observer=bridge.SamplingObserver(model.model, chunks=plan.chunks),
        )[0].float()
        return io.NodeOutput({"samples": bridge.to_rest(latents)}, bridge.decode_images(model, latents))


class DecodePortrait(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VividPortraitsDecodePortrait",
            display_name="Decode Portrait",
            category=CATEGORY,
            **search_aliases("vae decode", "latents to images"),
            description="Turns latents into frames with the model's own autoencoder, a few at a time.",
            inputs=[
                PortraitModelSocket.Input("model", tooltip="The model that made the latents."),
                io.Latent.Input("latents", tooltip="From Animate Portrait, or from Portrait Guider's sampler."),
            ],
            outputs=[io.Image.Output(display_name="images", tooltip="The frames, in order.")],
        )

    @classmethod
    def execute(cls, model: HostedModel, latents: dict[str, Tensor]) -> io.NodeOutput:
        samples, channels = latents["samples"], model.model.backbone.latent_spec.channels
        if samples.ndim != 4 or samples.shape[1] != channels:
            raise bridge.InputError(
                f"latents: shape {tuple(samples.shape)}, model {model.model.config.name} has {channels} channels; "
                "connect the latents that this model made"
            )
        bridge.on_device(model)
        return io.NodeOutput(bridge.decode_images(model, samples))
