"""The straight line from a portrait and a driving video to frames, readable on one screen.

``animate`` is the whole of it; every stage is a function of its own, which is what the nodes call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .backbones.base import AnimationInputs
from .config import ModelConfig, SamplingConfig
from .errors import InputError
from .faces.framing import Framing, Portrait, frame_portrait
from .images import to_float
from .models import PortraitModel
from .motion.alignment import Similarity
from .motion.masked_frames import masked_frames_signal
from .motion.parsing_map import parsing_map_signal
from .motion.retarget import retarget
from .motion.scenes import Scene, place_scenes
from .motion.signals import SIGNALS, Placing, check_signal, choose_placing, make_signal
from .sampling import (
    Chunk,
    SignalFusion,
    carry_history,
    frame_noise,
    make_scheduler,
    make_windows,
    plan_chunks,
    sample,
)
from .types import FaceTrack, HistoryFrames, MotionSignal, MotionSource, ReferenceInputs, StepObserver, TrackSource


@dataclass(frozen=True)
class PortraitReference:
    """A portrait, encoded once for a model.

    Attributes:
        encoded: the backbone's own state.
        latents: (1, C, h, w).
        track: the portrait's face in the pixels of the encoded image, one frame; None if it was not analysed.
        window: (left, top, width, height) of what was encoded, in pixels of the original; None if it is not known.
    """

    encoded: Any
    latents: Tensor
    track: FaceTrack | None
    window: tuple[int, int, int, int] | None = None


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
    if track is not None and portrait.track is not None:
        motion = _own_signal(model.config, track, portrait)
        motion = None if motion is None else motion.to(pixels)
    mask = None if portrait.foreground is None else portrait.foreground.to(pixels)
    encoded = model.backbone.encode_reference(ReferenceInputs(pixels, latents, mask, motion))
    return PortraitReference(encoded, latents, portrait.track, portrait.window)


def _own_signal(config: ModelConfig, track: FaceTrack, portrait: Portrait) -> Tensor | None:
    """The portrait's own motion signal, (1, 3, H, W), for models that compare the driver's with it."""
    assert portrait.track is not None
    if config.motion_kind == "masked_frames":
        return masked_frames_signal(portrait.image.float(), portrait.track, size=config.size).frames
    if config.motion_kind != "parsing_map":
        return None
    if track.label_maps is None:
        return parsing_map_signal(portrait.track, size=config.size).frames
    # label maps are cut out of the original image, which is finer
    left, top, width, height = portrait.window
    place = Similarity(1.0, np.array([left, top, 0.0]), np.zeros(3), (height, width))
    return parsing_map_signal(track, size=config.size, place=place).frames


def prepare_motion(
    model: PortraitModel,
    driving: FaceTrack,
    *,
    reference: FaceTrack | None = None,
    alignment: Placing | None = None,
    frames: Tensor | None = None,
) -> MotionSignal:
    """The motion signal that a model takes, placed on the reference.

    Args:
        driving: the driving face.
        reference: the portrait's face in the model's pixels (``PortraitReference.track``); without it the
            driving face stays where it is in its own frame.
        alignment: None takes the motion kind's own, see motion/signals.py.
        frames: (F, 3, H, W) in [-1, 1], the driving frames; only masked frames need them.
    """
    config = model.config
    return make_signal(
        config.motion_kind, driving, reference=reference, placing=alignment, frames=frames, size=config.size
    )


@dataclass(frozen=True)
class DrivingMotion:
    """The motion signal of a whole clip, drawn only for the frames that are asked for.

    Attributes:
        model: what the signal is for.
        driving: the driving face.
        scenes: where the frames lie in the portrait's image, scene by scene.
        frames: the driving frames from one number to another, (n, H, W, 3) uint8 a few at a time; only masked
            frames need them.
        portrait: the portrait's face, if the driver's is retargeted to it instead of being placed as a whole.
    """

    model: PortraitModel
    driving: TrackSource
    scenes: Sequence[Scene]
    frames: Callable[[int, int], Iterator[np.ndarray]] | None = None
    portrait: FaceTrack | None = None

    def __len__(self) -> int:
        return len(self.driving)

    def take(self, frames: Sequence[int]) -> MotionSignal:
        """The signal of frames that follow one another."""
        start, stop = frames[0], frames[-1] + 1
        bounds = [*(scene.start for scene in self.scenes), len(self)]
        parts = [
            self._scene(scene, max(scene.start, start), min(end, stop))
            for scene, end in zip(self.scenes, bounds[1:], strict=True)
            if scene.start < stop and end > start
        ]
        return MotionSignal(parts[0].kind, torch.cat([part.frames for part in parts]))

    def _scene(self, scene: Scene, start: int, stop: int) -> MotionSignal:
        kind, size = self.model.config.motion_kind, self.model.config.size
        track = self.driving.take(range(start, stop))
        draw = SIGNALS[kind].draw
        if draw is not None and self.portrait is not None:
            rest = self.driving.take(range(scene.start, scene.start + 1)).landmarks[0]
            return draw(retarget(track, self.portrait, rest=rest), size=size)
        if draw is not None:
            return draw(track, size=size, place=scene.place)
        if self.frames is None:
            raise InputError("driving: this model is driven by masked frames; connect the driving frames too")
        made: list[Tensor] = []
        done = 0
        for pixels in self.frames(start, stop):
            part = track.take(range(done, done + len(pixels)))
            made.append(masked_frames_signal(to_float(pixels), part, size=size, place=scene.place).frames)
            done += len(pixels)
        return MotionSignal(kind, torch.cat(made))


@torch.no_grad()
def sample_chunks(
    model: PortraitModel,
    reference: PortraitReference,
    motion: MotionSource,
    sampling: SamplingConfig,
    *,
    history: HistoryFrames | None = None,
    first_chunk: int = 0,
    initial: Callable[[range], Tensor] | None = None,
    observer: StepObserver | None = None,
) -> Iterator[Tensor]:
    """Sample a clip of any length chunk by chunk: latents and activations of one chunk are held at a time.

    Overlapping windows carry continuity within a chunk, history frames between chunks. A frame's noise
    depends on the seed and the frame's number alone, so chunking does not change it.

    Args:
        motion: a signal, or a ``DrivingMotion`` that is asked for one chunk at a time.
        history: finished frames to continue, e.g. of an earlier clip.
        first_chunk: chunks of the clip that are finished already; ``history`` then is the last one's end.
        initial: gives frames' clean latents, (n, C, h, w), to start from where ``sampling.denoise`` is below 1;
            asked for one chunk at a time, by the frames' numbers in the clip.
    Yields:
        (1, n, C, h, w), the clean latents of the next n frames.
    """
    if isinstance(motion, MotionSignal):  # what is drawn on demand is drawn for this model
        check_signal(motion, kind=model.config.motion_kind, size=model.config.size, model=model.config.name)
    windows = make_windows(sampling)
    guidance = SignalFusion(
        identity=sampling.identity,
        motion=sampling.motion,
        continuity=sampling.continuity,
        start=sampling.guidance_start,
        end=sampling.guidance_end,
    )
    for chunk in clip_chunks(len(motion), sampling)[first_chunk:]:
        part = motion.take(range(chunk.start, chunk.stop))
        signal = MotionSignal(part.kind, part.frames.to(model.device, model.dtype))
        noise = frame_noise(tuple(reference.latents.shape[1:]), range(chunk.start, chunk.stop), seed=sampling.seed)
        frames = None
        if initial is not None and sampling.denoise < 1:
            frames = initial(range(chunk.start, chunk.stop))[None].to(model.device)
        latents = sample(
            model.backbone,
            model.backbone.prepare(AnimationInputs(reference.encoded, signal, history)),
            noise.to(model.device, model.dtype),
            scheduler=make_scheduler(model.config.schedule, sampling.scheduler),
            steps=sampling.steps,
            windows=windows,
            guidance=guidance,
            initial=frames,
            denoise=sampling.denoise,
            generator=torch.Generator().manual_seed((sampling.seed + chunk.start) % 2**63),
            observer=observer,
        )
        yield latents
        history = carry_history(latents, signal, sampling.history)


def clip_chunks(frames: int, sampling: SamplingConfig) -> list[Chunk]:
    """How ``sample_chunks`` cuts a clip."""
    return plan_chunks(frames, max(sampling.chunk, sampling.window))


def sample_clip(
    model: PortraitModel,
    reference: PortraitReference,
    motion: MotionSignal,
    sampling: SamplingConfig,
    *,
    history: HistoryFrames | None = None,
    initial: Callable[[range], Tensor] | None = None,
    observer: StepObserver | None = None,
) -> Tensor:
    """All chunks at once: (1, F, C, h, w)."""
    chunks = sample_chunks(model, reference, motion, sampling, history=history, initial=initial, observer=observer)
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
    alignment: Placing | None = None,
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
    motion: MotionSource
    if driving_frames is None and reference.track is not None:
        placing = choose_placing(model.config.motion_kind, alignment)
        scenes = place_scenes(driving, reference.track, mode=placing)
        motion = DrivingMotion(model, driving, scenes, portrait=reference.track if placing == "retarget" else None)
    else:
        motion = prepare_motion(model, driving, reference=reference.track, alignment=alignment, frames=driving_frames)
    settings = sampling or model.config.sampling
    for latents in sample_chunks(model, reference, motion, settings, observer=observer):
        yield decode(model, latents)
