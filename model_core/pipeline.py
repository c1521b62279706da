"""The straight line from a portrait and a driving video to frames, readable on one screen.

``animate`` is the whole of it; every stage is a function of its own, which is what the nodes call.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .backbones.base import AnimationInputs
from .config import SamplingConfig
from .errors import InputError
from .faces.framing import Framing, frame_portrait
from .models import PortraitModel
from .motion.alignment import Alignment, align, placement
from .motion.masked_frames import masked_frames_signal
from .motion.parsing_map import parsing_map_signal
from .sampling import (
    CyclicOverlap,
    SignalFusion,
    carry_history,
    frame_noise,
    make_scheduler,
    plan_chunks,
    sample,
)
from .types import FaceTrack, HistoryFrames, MotionSignal, ReferenceInputs, StepObserver


@dataclass(frozen=True)
class PortraitReference:
    """A portrait, encoded once for a model.

    Attributes:
        encoded: the backbone's own state.
        latents: (1, C, h, w).
        track: the portrait's face in the pixels of the encoded image, one frame; None if it was not analysed.
    """

    encoded: Any
    latents: Tensor
    track: FaceTrack | None


@torch.no_grad()
def encode_reference(
    model: PortraitModel,
    image: Tensor,
    *,
    track: FaceTrack | None = None,
    foreground: Tensor | None = None,
    framing: Framing = "auto",
) -> PortraitReference:
    """Bring a portrait to the model's size and encode it.

    Args:
        image: (1, 3, H, W) in [-1, 1], any size.
        track: its face (one frame), in its pixels.
        foreground: (1, 1, H, W) in [0, 1], 1 on the person; None takes the whole image as the person.
        framing: see ``frame_portrait``.
    """
    portrait = frame_portrait(image, track, size=model.config.size, foreground=foreground, framing=framing)
    pixels = portrait.image.to(model.device, model.dtype)
    latents = model.autoencoder.encode(pixels)
    motion = None
    if portrait.track is not None:
        motion = prepare_motion(model, portrait.track, frames=portrait.image).frames.to(pixels)
    mask = None if portrait.foreground is None else portrait.foreground.to(pixels)
    encoded = model.backbone.encode_reference(ReferenceInputs(pixels, latents, mask, motion))
    return PortraitReference(encoded, latents, portrait.track)


def prepare_motion(
    model: PortraitModel,
    driving: FaceTrack,
    *,
    reference: FaceTrack | None = None,
    alignment: Alignment = "relative",
    frames: Tensor | None = None,
) -> MotionSignal:
    """The motion signal that a model takes, placed on the reference.

    Args:
        driving: the driving face.
        reference: the portrait's face in the model's pixels (``PortraitReference.track``); without it the
            driving face stays where it is in its own frame.
        frames: (F, 3, H, W) in [-1, 1], the driving frames; only masked frames need them.
    """
    size = model.config.size
    if model.config.motion_kind == "masked_frames":
        if frames is None:
            raise InputError("driving: this model is driven by masked frames; connect the driving frames too")
        place = None if reference is None else placement(driving, reference, mode=alignment)
        return masked_frames_signal(frames, driving, size=size, place=place)
    placed = driving if reference is None else align(driving, reference, mode=alignment)
    return parsing_map_signal(placed, size=size)


@torch.no_grad()
def sample_chunks(
    model: PortraitModel,
    reference: PortraitReference,
    motion: MotionSignal,
    sampling: SamplingConfig,
    *,
    history: HistoryFrames | None = None,
    observer: StepObserver | None = None,
) -> Iterator[Tensor]:
    """Sample a clip of any length chunk by chunk: latents and activations of one chunk are held at a time.

    Overlapping windows carry continuity within a chunk, history frames between chunks. A frame's noise
    depends on the seed and the frame's number alone, so chunking does not change it.

    Args:
        history: finished frames to continue, e.g. of an earlier clip.
    Yields:
        (1, n, C, h, w), the clean latents of the next n frames.
    """
    windows = CyclicOverlap(sampling.window, sampling.overlap, cyclic=sampling.cyclic)
    guidance = SignalFusion(
        identity=sampling.identity,
        motion=sampling.motion,
        continuity=sampling.continuity,
        start=sampling.guidance_start,
        end=sampling.guidance_end,
    )
    for chunk in plan_chunks(len(motion), max(sampling.chunk, sampling.window)):
        part = motion.take(range(chunk.start, chunk.stop))
        signal = MotionSignal(part.kind, part.frames.to(model.device, model.dtype))
        noise = frame_noise(tuple(reference.latents.shape[1:]), range(chunk.start, chunk.stop), seed=sampling.seed)
        latents = sample(
            model.backbone,
            model.backbone.prepare(AnimationInputs(reference.encoded, signal, history)),
            noise.to(model.device, model.dtype),
            scheduler=make_scheduler(model.config.schedule, sampling.scheduler),
            steps=sampling.steps,
            windows=windows,
            guidance=guidance,
            generator=torch.Generator().manual_seed((sampling.seed + chunk.start) % 2**63),
            observer=observer,
        )
        yield latents
        history = carry_history(latents, signal, sampling.history)


def sample_clip(
    model: PortraitModel,
    reference: PortraitReference,
    motion: MotionSignal,
    sampling: SamplingConfig,
    *,
    history: HistoryFrames | None = None,
    observer: StepObserver | None = None,
) -> Tensor:
    """All chunks at once: (1, F, C, h, w)."""
    chunks = sample_chunks(model, reference, motion, sampling, history=history, observer=observer)
    return torch.cat(list(chunks), dim=1)


@torch.no_grad()
def decode(model: PortraitModel, latents: Tensor) -> Tensor:
    """Latents (1, F, C, h, w) to images (F, 3, H, W), float32 in [-1, 1]."""
    return model.autoencoder.decode(latents[0].to(model.dtype)).float()


def animate(
    model: PortraitModel,
    image: Tensor,
    driving: FaceTrack,
    *,
    track: FaceTrack,
    foreground: Tensor | None = None,
    sampling: SamplingConfig | None = None,
    alignment: Alignment = "relative",
    framing: Framing = "auto",
    driving_frames: Tensor | None = None,
    observer: StepObserver | None = None,
) -> Iterator[Tensor]:
    """Make a portrait move as a driving face moves.

    Args:
        image: (1, 3, H, W) in [-1, 1], the portrait.
        driving: the driving face, from ``faces.analyze_frames``.
        track: the portrait's face, one frame, from the same.
        foreground: (1, 1, H, W) in [0, 1] or None.
        sampling: None takes the model's own defaults.
        driving_frames: (F, 3, H, W), for models driven by masked frames.
    Yields:
        (n, 3, H, W) float32 in [-1, 1], the next n frames, at the model's size.
    """
    reference = encode_reference(model, image, track=track, foreground=foreground, framing=framing)
    motion = prepare_motion(model, driving, reference=reference.track, alignment=alignment, frames=driving_frames)
    settings = sampling or model.config.sampling
    for latents in sample_chunks(model, reference, motion, settings, observer=observer):
        yield decode(model, latents)
