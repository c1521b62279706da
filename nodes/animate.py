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
    clip_inputs,
    denoise_input,
    earlier_frames,
    encoded_history,
    output_size,
    sampler_inputs,
    sampling_settings,
    size_input,
)
from .sockets import (
    HistorySettings,
    HostedModel,
    HostedReference,
    MotionSocket,
    PortraitModelSocket,
    ReferenceSocket,
)

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
                size_input(words=" Of clips of minutes: Animate Portrait Video."),
            ],
            outputs=[
                io.Latent.Output(display_name="latents", tooltip="One latent per frame, for Decode Portrait."),
                io.Image.Output(display_name="images", tooltip="The frames, in order."),
            ],
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
        denoise: float = 1.0,
        size: str = "portrait",
    ) -> io.NodeOutput:
        from ..model_core.sampling.estimate import plan_run

        check_fit(model, reference, motion)
        settings = sampling_settings(
            model, guidance, windows, history, seed=seed % SEEDS, steps=steps, scheduler=scheduler, denoise=denoise
        )
        earlier = earlier_frames(history)
        bridge.log_estimate(model, settings, frames=len(motion), history=earlier)
        plan = plan_run(len(motion), settings, history=earlier)
        bridge.on_device(model, frames=plan.frames_at_once)
        latents, images = bridge.animated_images(
            model,
            reference.reference,
            motion,
            settings,
            size=output_size(size),
            history=encoded_history(model, reference, history),
            observer=bridge.SamplingObserver(model.model, chunks=plan.chunks),
        )
        return io.NodeOutput({"samples": bridge.to_rest(latents)}, images)


class DecodePortrait(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VividPortraitsDecodePortrait",
            display_name="Decode Portrait",
            category=CATEGORY,
            **search_aliases("vae decode", "latents to images"),
            description="Turns latents into frames with the model's own autoencoder; with reference and motion, at the "
            "portrait's own size.",
            inputs=[
                PortraitModelSocket.Input("model", tooltip="The model that made the latents."),
                io.Latent.Input("latents", tooltip="From Animate Portrait, or from Portrait Guider's sampler."),
                ReferenceSocket.Input(
                    "reference",
                    optional=True,
                    tooltip="What the latents were made of, from Encode Reference. With it and the motion the frames "
                    "have the size below; without them the model's.",
                ),
                MotionSocket.Input("motion", optional=True, tooltip="The motion that the latents were made with."),
                size_input(words=" Needs reference and motion."),
            ],
            outputs=[io.Image.Output(display_name="images", tooltip="The frames, in order.")],
        )

    @classmethod
    def execute(
        cls,
        model: HostedModel,
        latents: dict[str, Tensor],
        reference: HostedReference | None = None,
        motion: Any = None,
        size: str = "portrait",
    ) -> io.NodeOutput:
        samples, channels = latents["samples"], model.model.backbone.latent_spec.channels
        if samples.ndim != 4 or samples.shape[1] != channels:
            raise bridge.InputError(
                f"latents: shape {tuple(samples.shape)}, model {model.model.config.name} has {channels} channels; "
                "connect the latents that this model made"
            )
        _check_made_of(model, samples, reference, motion)
        bridge.on_device(model)
        known = None if reference is None else reference.reference
        return io.NodeOutput(bridge.finished_images(model, known, motion, samples, size=output_size(size)))


def _check_made_of(model: HostedModel, samples: Tensor, reference: HostedReference | None, motion: Any) -> None:
    """Raise InputError where reference and motion cannot be what latents were made of."""
    if (reference is None) != (motion is None):
        given, missing = ("reference", "motion") if motion is None else ("motion", "reference")
        raise bridge.InputError(
            f"{missing}: Decode Portrait needs reference and motion for frames of the portrait's size; connect the "
            f"{missing} too, or disconnect the {given} for frames of the model's size"
        )
    if reference is None:
        return
    check_fit(model, reference, motion)
    if len(samples) != len(motion):
        raise bridge.InputError(
            f"latents: {len(samples)} frames, the motion has {len(motion)}; connect the motion that they were made with"
        )


class CarryPortrait(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VividPortraitsCarryPortrait",
            display_name="Carry Portrait",
            category=CATEGORY,
            **search_aliases("retargeting", "face mesh", "warp", "live portrait", "without network"),
            description="Moves the portrait by its own face mesh alone: sharp, fast, without a network. What a mouth "
            "opens onto, or a turn uncovers, is painted plainly.",
            inputs=[
                ReferenceSocket.Input("reference", tooltip="From Encode Reference, with the portrait's track."),
                MotionSocket.Input("motion", tooltip="From any motion node, with Encode Reference's framed_track."),
                size_input(),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="The frames; also start_images for Portrait Guider."),
                io.Mask.Output(
                    display_name="validity",
                    tooltip="How much of each pixel the portrait really shows: 0 where it is made up.",
                ),
            ],
        )

    @classmethod
    def execute(cls, reference: HostedReference, motion: Any, size: str = "portrait") -> io.NodeOutput:
        return io.NodeOutput(
            *bridge.carried_images(
                reference.reference, motion, size=output_size(size), progress=bridge.Progress(len(motion))
            )
        )
