"""The one sampling loop, for every network and every scheduler."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import torch
from diffusers import SchedulerMixin
from torch import Tensor

from ..backbones.base import Backbone, ConditioningT
from ..errors import InputError
from ..types import StepEvent, StepObserver
from .denoise import ClipPrediction, PredictWindow, predict_clip
from .guidance import SignalFusion
from .schedule import advance, clean_from_prediction, first_latents, start
from .stages import result_of
from .windows import Windows


def sample(*args: Any, observer: StepObserver | None = None, **options: Any) -> Tensor:
    """``sample_steps`` at once; the observer is told of every window and every step, and cancels by raising."""
    return result_of(sample_steps(*args, **options), observer)


# no_grad rather than inference_mode: an inference tensor could never take part in training afterwards.
@torch.no_grad()
def sample_steps(
    backbone: Backbone[ConditioningT],
    conditioning: ConditioningT,
    noise: Tensor,
    *,
    scheduler: SchedulerMixin,
    steps: int,
    windows: Windows,
    guidance: SignalFusion,
    initial: Tensor | None = None,
    denoise: float = 1.0,
    generator: torch.Generator | None = None,
) -> Generator[StepEvent, None, Tensor]:
    """Denoise the frames of one clip (or one chunk of a long one).

    Args:
        conditioning: of all F frames, from ``backbone.prepare``.
        noise: (1, F, C, h, w), standard normal; the network is fed in its dtype and on its device, while
            the latents are kept and stepped in float32.
        scheduler: from ``make_scheduler``; it is started anew, so it may have been used before.
        steps: >= 1, whatever part of the schedule they walk.
        initial: (1, F, C, h, w), clean latents to start from where ``denoise`` is below 1; else not looked at.
        denoise: in (0, 1], the part of the schedule to walk; see ``schedule.start``.
        generator: for schedulers that add noise in between ("lcm"); None takes torch's own.
    Yields:
        an event after every window and every step; who stops asking cancels, and nothing is left behind.
    Returns:
        (1, F, C, h, w), the clean latents, in the dtype of ``noise``.
    Raises:
        InputError: for a part of the schedule without latents to start from, or steps that cannot be made.
    """
    path = start(scheduler, steps, denoise)
    timesteps = path.to(noise.device)
    if denoise == 1:
        latents = noise.float() * scheduler.init_noise_sigma
    else:
        latents = first_latents(scheduler, _checked(initial, noise, denoise).float(), noise.float(), path[0])
    for step, t in enumerate(path):
        noisy = scheduler.scale_model_input(latents, t)
        parts = windows.windows(step, noise.shape[1])
        windows_done = predict_clip(
            _network(backbone, timesteps[step], noise.dtype),
            noisy,
            conditioning,
            windows=parts,
            guidance=guidance,
            step=step,
            steps=steps,
        )
        event = StepEvent(step, steps, 0, len(parts), False, latents)
        blended = (yield from _events(windows_done, event)).fused
        latents = advance(scheduler, blended, t, latents, generator)
        clean = clean_from_prediction(scheduler, blended, noisy, t)
        yield replace(event, window=len(parts), step_done=True, latents=clean)
    return latents.to(noise.dtype)


def _network(backbone: Backbone[ConditioningT], timestep: Tensor, dtype: torch.dtype) -> PredictWindow[ConditioningT]:
    """The backbone at one timestep, fed in ``dtype``."""
    return lambda noisy, conditioning, branches: backbone.predict(noisy.to(dtype), timestep, conditioning, branches)


def _events(
    windows_done: Generator[int, None, ClipPrediction], step: StepEvent
) -> Generator[StepEvent, None, ClipPrediction]:
    """Every window of a step as an event; returns what the windows make together."""
    while True:
        try:
            done = next(windows_done)
        except StopIteration as end:
            return end.value
        yield replace(step, window=done)


def _checked(initial: Tensor | None, noise: Tensor, denoise: float) -> Tensor:
    if initial is None:
        raise InputError(
            f"denoise {denoise}: below 1 sampling starts from the carried portrait, and there is none here; give its "
            "latents (initial), or set denoise to 1"
        )
    if initial.shape != noise.shape:
        raise InputError(
            f"initial: shape {tuple(initial.shape)}, the noise has {tuple(noise.shape)}; give latents of the same "
            "frames and size"
        )
    return initial
