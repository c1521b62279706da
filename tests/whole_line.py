"""The pipeline from end to end, as tests ask for it: all latents, or all frames, at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model_core.config import SamplingConfig
from model_core.images import to_float, to_uint8
from model_core.models import PortraitModel
from model_core.motion.scenes import MotionSettings
from model_core.motion.signals import make_signal
from model_core.pipeline import (
    FinishedChunk,
    SampledChunk,
    a_few_at_once,
    animate,
    drive,
    encode_reference,
    finisher_of,
    sample_chunks,
)
from model_core.types import FaceTrack, MotionSignal, StepEvent


def signal_of(model: PortraitModel, driving: FaceTrack, **options: Any) -> MotionSignal:
    """The whole motion signal that a model takes."""
    return make_signal(model.config.motion_kind, driving, size=model.config.size, **options)


def latents_of(*args: Any, **options: Any) -> Iterator[Tensor]:
    """The latents of every chunk, as ``sample_chunks`` makes them."""
    return (event.latents for event in sample_chunks(*args, **options) if isinstance(event, SampledChunk))


def all_latents(*args: Any, **options: Any) -> Tensor:
    return torch.cat(list(latents_of(*args, **options)), dim=1)


def chunks_of_frames(
    model: PortraitModel,
    image: Tensor,
    driving: FaceTrack,
    *,
    track: FaceTrack,
    sampling: SamplingConfig | None = None,
    framing: Any = "auto",
    driving_frames: Tensor | None = None,
    size: Any = "model",
    observer: Callable[[StepEvent], object] = lambda event: None,
) -> Iterator[Tensor]:
    """The frames of every chunk, (n, 3, H, W) in [-1, 1]."""
    reference = encode_reference(model, image, track=track, framing=framing)
    shown = None if driving_frames is None else a_few_at_once(to_uint8(driving_frames))
    motion = drive(model, reference, driving, settings=MotionSettings(), frames=shown)
    finisher = finisher_of(reference, size)
    for event in animate(model, reference, motion, sampling or model.config.sampling, finisher=finisher):
        if isinstance(event, FinishedChunk):
            yield to_float(np.stack(list(event.frames)))
        elif isinstance(event, StepEvent):
            observer(event)


def all_frames(*args: Any, **options: Any) -> Tensor:
    return torch.cat(list(chunks_of_frames(*args, **options)))
