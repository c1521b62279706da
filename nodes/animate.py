"""Stage animate: sample the frames' latents, and decode them."""

from __future__ import annotations

from typing import Any, get_args

from comfy_api.latest import io
from torch import Tensor

from ..model_core.config import LCM_STEPS, SchedulerName
from . import bridge
from .aliases import search_aliases
from .settings import check_fit, clip_inputs, earlier_frames, encoded_history, sampling_settings
from .sockets import HistorySettings, HostedModel, HostedReference, PortraitModelSocket

CATEGORY = "VividPortraits/animate"
# ComfyUI draws seeds of 64 bits; torch takes them signed, and a chunk adds its first frame's number
_SEEDS = 2**62
_MAX_STEPS = 1000


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
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFF_FFFF_FFFF_FFFF,
                    control_after_generate=True,
                    tooltip="Of the initial noise; the same seed gives the same frames on one device.",
                ),
                io.Int.Input(
                    "steps", default=20, min=1, max=_MAX_STEPS, tooltip="Denoising steps: more is slower and finer."
                ),
                io.Combo.Input(
                    "scheduler",
                    options=list(get_args(SchedulerName)),
                    default="ddim",
                    tooltip="The solver that walks from noise to frames.",
                ),
            ],
            outputs=[
                io.Latent.Output(display_name="latents", tooltip="One latent per frame, for Decode Portrait."),
                io.Image.Output(display_name="images", tooltip="The frames, decoded, in order."),
            ],
        )

    @classmethod
    def validate_inputs(cls, steps: int | None, scheduler: str | None) -> bool | str:
        if scheduler is not None and scheduler not in get_args(SchedulerName):
            return f"scheduler '{scheduler}' is not known; choose one of {', '.join(get_args(SchedulerName))}"
        if steps is not None and not 1 <= steps <= _MAX_STEPS:  # naming an input here takes ComfyUI's own check away
            return f"steps {steps}: must be from 1 to {_MAX_STEPS}"
        if scheduler == "lcm" and steps is not None and steps > LCM_STEPS:
            return f"steps {steps}: the scheduler lcm makes at most {LCM_STEPS}; 4 to 8 are usual"
        return True

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
        from ..model_core.sampling.estimate import plan_run

        check_fit(model, reference, motion)
        settings = sampling_settings(
            model, guidance, windows, history, seed=seed % _SEEDS, steps=steps, scheduler=scheduler
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
