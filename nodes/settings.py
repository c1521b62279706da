"""What the two ways of sampling, our loop and ComfyUI's own samplers, ask of their inputs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

from comfy_api.latest import io

from ..model_core.config import LCM_STEPS, SchedulerName
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
    from ..model_core.warp.full_size import OutputSize


# ComfyUI draws seeds of 64 bits; torch takes them signed, and a chunk adds its first frame's number
SEEDS = 2**62
MAX_STEPS = 1000
_SIZES = ("portrait", "model", "512", "768", "1024", "1536", "2048")
OWN_STEPS = -1
_OWN = {"steps": OWN_STEPS, "scheduler": "auto"}
"""What stands for the model's own in each widget."""
STEPS_WORDS = "Denoising steps: more is slower and finer. -1 is auto: the model's own number."


def sampler_inputs(*, seed: str) -> list[Any]:
    """The widgets of our own loop; ``seed`` is the seed's tooltip."""
    return [
        io.Int.Input("seed", default=0, min=0, max=2**64 - 1, control_after_generate=True, tooltip=seed),
        io.Int.Input(
            "steps",
            default=OWN_STEPS,
            min=OWN_STEPS,
            max=MAX_STEPS,
            tooltip=f"{STEPS_WORDS} 0: the carried portrait without the network, the fastest preview.",
        ),
        io.Combo.Input(
            "scheduler",
            options=[_OWN["scheduler"], *get_args(SchedulerName)],
            default=_OWN["scheduler"],
            tooltip="The solver that walks from noise to frames. auto: the model's own.",
        ),
    ]


def denoise_input() -> Any:
    """The widget that keeps some of the carried portrait; behind all others, whose places saved workflows know."""
    return io.Float.Input(
        "denoise",
        default=1.0,
        min=0.05,
        max=1.0,
        step=0.01,
        optional=True,
        tooltip="1 starts from pure noise. Lower values start from the carried portrait and keep more of it: all steps "
        "then walk that last part of the way.",
    )


def size_input(*, words: str = "") -> Any:
    """The widget of the result's size; behind all others. ``words`` end its tooltip."""
    return io.Combo.Input(
        "size",
        options=list(_SIZES),
        default=_SIZES[0],
        optional=True,
        tooltip="portrait: the whole portrait at its own size, at most 2048 pixels, sharp, with the network's change "
        f"on top. model: the model's frame as it is. A number: the whole portrait with so long a side.{words}",
    )


def output_size(choice: str) -> OutputSize:
    """What a choice of ``size_input`` means to the library."""
    return int(choice) if choice.isdigit() else choice  # type: ignore[return-value]


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


def check_fit(model: HostedModel, reference: HostedReference, motion: Any) -> None:
    """Raise InputError, naming the input, where model, reference and motion do not belong together."""
    from ..model_core.motion.signals import SIGNALS, check_signal

    config = model.model.config
    if reference.model.config != config:
        raise bridge.InputError(
            f"reference: encoded with model {reference.model.config.name}, animated with {config.name}; connect "
            "the same model to both nodes"
        )
    check_signal(motion, kind=config.motion_kind, size=config.size, model=config.name)
    if not model.model.backbone.uses_baseline:
        return
    if reference.reference.layers is None:
        raise bridge.InputError(
            f"reference: model {config.name} starts from the portrait carried by its face, which is not known; connect "
            "the track of Analyze Faces, of the same image, to Encode Reference"
        )
    if motion.landmarks is None:
        raise bridge.InputError(
            f"motion: carries no landmarks, which model {config.name} needs; make it with "
            f"{SIGNALS[config.motion_kind].node}"
        )


def sampling_settings(
    model: HostedModel, guidance: Any, windows: Any, history: HistorySettings | None, **changes: Any
) -> SamplingConfig:
    """The model's own sampling settings, with what is connected, and the widgets' ``changes``, in their place.

    Raises:
        InputError: a setting is out of bounds, or the model cannot be sampled so.
    """
    from ..model_core.families import check_sampling

    chosen = {name: value for name, value in changes.items() if name not in _OWN or value != _OWN[name]}
    settings = replace(model.model.config.sampling, **chosen)
    if settings.scheduler == "lcm" and settings.steps > LCM_STEPS:
        raise bridge.InputError(
            f"steps {settings.steps}: the scheduler lcm makes at most {LCM_STEPS}; 4 to 8 are usual"
        )
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
        settings = replace(
            settings,
            window=windows.length,
            overlap=windows.overlap,
            cyclic=windows.cyclic,
            blend=windows.blend,
            wrapped=False,
        )
    if history is not None:
        settings = replace(settings, history=history.frames, chunk=history.chunk)
    check_sampling(model.model.config, settings)
    return settings


def encoded_history(
    model: HostedModel, reference: HostedReference, history: HistorySettings | None
) -> HistoryFrames | None:
    """The earlier frames of History Frames as latents; the model has to be on the device."""
    from ..model_core.types import HistoryFrames

    if history is None or history.images is None or history.motion is None:
        return None
    return HistoryFrames(
        latents=bridge.encode_images(
            model, bridge.as_the_model_sees(reference.reference, history.images, size=model.model.config.size)
        ),
        motion=bridge.to_compute(history.motion.frames, model),
    )


def earlier_frames(history: HistorySettings | None) -> int:
    """How many finished frames stand in front of the first one."""
    return 0 if history is None or history.images is None else len(history.images)
