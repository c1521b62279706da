"""The straight line from a portrait and a driving face to frames: encode, drive, animate.

``animate`` yields what happens as it happens: the plan, every step, every chunk of finished frames. Jobs persist what
it yields, nodes and commands show it, evaluation measures it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .backbones.base import AnimationInputs
from .config import ModelConfig, SamplingConfig
from .errors import InputError, NotFiniteError
from .faces.framing import Framing, Portrait, frame_portrait
from .finish import AtModelSize, AtPortraitSize, DecodedFrames, Finisher
from .geometry import Placement, Rectangle
from .images import to_float, to_uint8
from .models import PortraitModel
from .motion.masked_frames import masked_frames_signal
from .motion.parsing_map import parsing_map_signal
from .motion.scenes import MotionSettings, PlacedMotion, Scene, place_scenes
from .motion.signals import SIGNALS, check_signal, draw_part, join_signals
from .sampling import (
    Chunk,
    SignalFusion,
    carry_history,
    frame_noise,
    make_scheduler,
    make_windows,
    plan_chunks,
    sample_steps,
)
from .types import (
    Baseline,
    FaceTrack,
    HistoryFrames,
    MotionSignal,
    MotionSource,
    ReferenceInputs,
    StepEvent,
    TrackSource,
)
from .warp import PortraitLayers
from .warp.carrier import CarriedFrames
from .warp.full_size import FullSize, OutputSize, output_size

_DECODED_AT_ONCE = 8


@dataclass(frozen=True)
class PortraitReference:
    """A portrait, encoded once for a model.

    Attributes:
        encoded: the backbone's own state.
        latents: (1, C, h, w).
        track: the portrait's face in the pixels of the encoded image, one frame; None if it was not analysed.
        window: (left, top, width, height) of what was encoded, in pixels of the original; None if it is not known.
        layers: the encoded image, ready to be carried; None without a track.
        original: what it was cut out of, for results of the portrait's own size; None without a track.
    """

    encoded: Any
    latents: Tensor
    track: FaceTrack | None
    window: Rectangle | None = None
    layers: PortraitLayers | None = None
    original: Original | None = None


@dataclass(frozen=True)
class Original:
    """A portrait as the user gave it.

    Attributes:
        pixels: (H, W, 3) uint8.
        landmarks: (478, 3), its face.
        person: (H, W) float32 in [0, 1].
    """

    pixels: np.ndarray
    landmarks: np.ndarray
    person: np.ndarray


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
    if track is None or portrait.track is None:
        return PortraitReference(encoded, latents, None, portrait.window)
    original = Original(to_uint8(image)[0], track.landmarks[0], _person(foreground, image))
    framed = to_uint8(portrait.image)[0]
    layers = PortraitLayers.of(framed, portrait.track.landmarks[0], _person(portrait.foreground, portrait.image))
    return PortraitReference(encoded, latents, portrait.track, portrait.window, layers, original)


def _person(foreground: Tensor | None, image: Tensor) -> np.ndarray:
    """(H, W) float32 in [0, 1]; without a mask all of the image moves."""
    if foreground is None:
        return np.ones(tuple(image.shape[-2:]), np.float32)
    return np.asarray(foreground[0, 0].float().cpu().numpy())


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
    return parsing_map_signal(track, size=config.size, place=Placement.of_window(portrait.window)).frames


@dataclass(frozen=True)
class DrivingMotion:
    """The motion signal of a whole clip, drawn only for the frames that are asked for.

    Attributes:
        config: of the model that the signal is for.
        placed: the driving face on the portrait.
        frames: the driving frames from one number to another, (n, H, W, 3) uint8 a few at a time; only masked
            frames need them.
    """

    config: ModelConfig
    placed: PlacedMotion
    frames: Callable[[int, int], Iterator[np.ndarray]] | None = None

    def __len__(self) -> int:
        return len(self.placed)

    def take(self, frames: Sequence[int]) -> MotionSignal:
        """The signal of frames that follow one another."""
        made: list[MotionSignal] = []
        for scene, part in self.placed.parts(frames[0], frames[-1] + 1):
            track = self.placed.driving.take(part, label_maps=SIGNALS[self.config.motion_kind].label_maps)
            done = 0
            for pixels in self._pixels(part):
                count = len(part) if pixels is None else len(pixels)
                made.append(
                    draw_part(
                        self.config.motion_kind,
                        self.placed,
                        scene,
                        track.take(range(done, done + count)),
                        size=self.config.size,
                        frames=None if pixels is None else to_float(pixels),
                    )
                )
                done += count
        return join_signals(made)

    def _pixels(self, part: range) -> Iterator[np.ndarray | None]:
        """The frames' pixels a few at a time where the signal shows them, else None for all of them."""
        if self.frames is None or self.config.motion_kind != "masked_frames":
            yield None
        else:
            yield from self.frames(part.start, part.stop)


def drive(
    model: PortraitModel,
    reference: PortraitReference,
    driving: TrackSource,
    *,
    settings: MotionSettings | None = None,
    scenes: Sequence[Scene] | None = None,
    frames: Callable[[int, int], Iterator[np.ndarray]] | None = None,
) -> DrivingMotion:
    """A driving face, placed on a portrait for a model.

    Args:
        driving: the driving face, in its own pixels.
        reference: whose face is known.
        settings: how the motion is placed; None retargets all of it.
        scenes: of the clip, where they are known already.
        frames: see ``DrivingMotion``.
    """
    assert reference.track is not None
    settings = settings or MotionSettings()
    if scenes is None:
        scenes = place_scenes(driving.take(range(len(driving))), reference.track, settings)
    return DrivingMotion(model.config, PlacedMotion(driving, scenes, reference.track, settings), frames)


def a_few_at_once(frames: np.ndarray, count: int = 8) -> Callable[[int, int], Iterator[np.ndarray]]:
    """Frames (F, H, W, 3) uint8 as ``DrivingMotion`` asks for them."""

    def read(start: int, stop: int) -> Iterator[np.ndarray]:
        for first in range(start, stop, count):
            yield frames[first : min(first + count, stop)]

    return read


@dataclass(frozen=True)
class Plan:
    """What is going to be sampled; yielded once, first.

    Attributes:
        chunks: all of the clip's.
        finished: how many of them an earlier run has finished.
        motion: of the whole clip.
    """

    chunks: list[Chunk]
    finished: int
    motion: MotionSource


@dataclass(frozen=True)
class SampledChunk:
    """The latents of the next frames.

    Attributes:
        chunk: which frames these are.
        latents: (1, n, C, h, w), clean.
        motion: their motion signal.
        carried: the portrait carried to it, where the model or no network at all needed it.
    """

    chunk: Chunk
    latents: Tensor
    motion: MotionSignal
    carried: CarriedFrames | None = None


@dataclass(frozen=True)
class FinishedChunk:
    """The next frames of the result.

    Attributes:
        chunk: which frames these are.
        latents: (1, n, C, h, w), what they were decoded from.
        frames: (H, W, 3) uint8, one after another, decoded while they are asked for; to be asked for before the next
            event.
    """

    chunk: Chunk
    latents: Tensor
    frames: Iterator[np.ndarray]


Event = Plan | StepEvent | FinishedChunk


def animate(
    model: PortraitModel,
    reference: PortraitReference,
    motion: MotionSource,
    sampling: SamplingConfig,
    *,
    finisher: Finisher,
    history: HistoryFrames | None = None,
    first_chunk: int = 0,
    initial: Callable[[range], Tensor] | None = None,
) -> Iterator[Event]:
    """Make a portrait move as a driving face moves: a clip of any length, of which one chunk at a time is in memory.

    Whoever stops asking cancels. Arguments not named here are those of ``sample_chunks``.

    Args:
        reference: from ``encode_reference``.
        motion: from ``drive``, or a signal that is drawn already.
        finisher: makes the frames of the result; see ``finisher_of``.
    """
    yield Plan(clip_chunks(len(motion), sampling), first_chunk, motion)
    for event in sample_chunks(
        model, reference, motion, sampling, history=history, first_chunk=first_chunk, initial=initial
    ):
        if isinstance(event, StepEvent):
            yield event
        else:
            frames = finished_frames(model, event, finisher, generated=sampling.steps > 0)
            yield FinishedChunk(event.chunk, event.latents, frames)


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
) -> Iterator[StepEvent | SampledChunk]:
    """Sample a clip chunk by chunk: latents and activations of one chunk are held at a time.

    Overlapping windows carry continuity within a chunk, history frames between chunks. A frame's noise
    depends on the seed and the frame's number alone, so chunking does not change it.

    Args:
        motion: a signal, or a ``DrivingMotion`` that is asked for one chunk at a time.
        sampling: without any steps the carried portrait comes out as it is.
        history: finished frames to continue, e.g. of an earlier clip.
        first_chunk: chunks of the clip that are finished already; ``history`` then is the last one's end.
        initial: gives frames' clean latents, (n, C, h, w), to start from where ``sampling.denoise`` is below 1;
            asked for one chunk at a time, by the frames' numbers in the clip. None starts from the carried portrait.
    Raises:
        InputError: the motion is not of the model's kind, or nothing is known to start from.
        NotFiniteError: before such latents are given out.
    """
    if isinstance(motion, MotionSignal):  # what is drawn on demand is drawn for this model
        check_signal(motion, kind=model.config.motion_kind, size=model.config.size, model=model.config.name)
    for chunk in clip_chunks(len(motion), sampling)[first_chunk:]:
        part = motion.take(range(chunk.start, chunk.stop))
        signal = replace(part, frames=part.frames.to(model.device, model.dtype))
        needed = model.backbone.uses_baseline or sampling.steps == 0 or (sampling.denoise < 1 and initial is None)
        carried = carry_reference(model, reference, part) if needed else None
        baseline = None if carried is None else baseline_of(model, carried)
        if sampling.steps:
            begin = None if initial is None or sampling.denoise == 1 else initial(range(chunk.start, chunk.stop))[None]
            inputs = AnimationInputs(reference.encoded, signal, history, baseline)
            noise = frame_noise(tuple(reference.latents.shape[1:]), range(chunk.start, chunk.stop), seed=sampling.seed)
            latents = yield from _sample_chunk(model, inputs, noise, chunk, sampling, begin)
            history = carry_history(latents, signal, sampling.history)
        elif baseline is None:
            raise InputError(
                "steps 0: carries the portrait by its face, which is not known here; analyse the portrait's face and "
                "connect it, or choose at least 1 step"
            )
        else:
            latents = baseline.latents[None]
        yield SampledChunk(chunk, latents, part, carried)


def _sample_chunk(
    model: PortraitModel,
    inputs: AnimationInputs,
    noise: Tensor,
    chunk: Chunk,
    sampling: SamplingConfig,
    initial: Tensor | None,
) -> Generator[StepEvent, None, Tensor]:
    """The clean latents (1, n, C, h, w) of one chunk."""
    if initial is None and sampling.denoise < 1 and inputs.baseline is not None:
        initial = inputs.baseline.latents[None]
    latents = yield from sample_steps(
        model.backbone,
        model.backbone.prepare(inputs),
        noise.to(model.device, model.dtype),
        scheduler=make_scheduler(model.config.schedule, sampling.scheduler),
        steps=sampling.steps,
        windows=make_windows(sampling),
        guidance=SignalFusion.of(sampling),
        initial=None if initial is None else initial.to(model.device),
        denoise=sampling.denoise,
        generator=torch.Generator().manual_seed((sampling.seed + chunk.start) % 2**63),
    )
    return _finite(model, latents, "latents")


def clip_chunks(frames: int, sampling: SamplingConfig) -> list[Chunk]:
    """How ``sample_chunks`` cuts a clip."""
    return plan_chunks(frames, max(sampling.chunk, sampling.window))


def carry_reference(model: PortraitModel, reference: PortraitReference, motion: MotionSignal) -> CarriedFrames | None:
    """The portrait carried to the motion's landmarks; None where the face of either is not known."""
    if reference.layers is None or motion.landmarks is None:
        return None
    return reference.layers.on(model.device).carry_all(motion.landmarks)


def baseline_of(model: PortraitModel, carried: CarriedFrames) -> Baseline:
    """The carried portrait as backbones take it."""
    latents = model.autoencoder.encode(to_float(carried.frames).to(model.device, model.dtype))
    return Baseline(latents, carried.validity[:, None].to(model.device, model.dtype))


def finished_frames(
    model: PortraitModel, sampled: SampledChunk, finisher: Finisher, *, generated: bool = True
) -> Iterator[np.ndarray]:
    """The frames of the result, (H, W, 3) uint8, decoded a few at a time as they are asked for.

    Args:
        generated: whether a network made the latents; else the carried portrait is shown as it is.
    """
    for start in range(0, len(sampled.chunk), _DECODED_AT_ONCE):
        part = slice(start, min(start + _DECODED_AT_ONCE, len(sampled.chunk)))
        yield from finisher.finish(
            DecodedFrames(
                start=sampled.chunk.start + start,
                landmarks=None if sampled.motion.landmarks is None else sampled.motion.landmarks[part],
                generated=to_uint8(decode(model, sampled.latents[:, part])) if generated else None,
                carried=None if sampled.carried is None else sampled.carried.take(part),
            )
        )


@torch.no_grad()
def decode(model: PortraitModel, latents: Tensor) -> Tensor:
    """Latents (1, F, C, h, w) to images (F, 3, H, W), float32 in [-1, 1].

    Raises:
        NotFiniteError: before such images are given out.
    """
    made = _finite(model, latents[0].to(model.dtype), "latents")  # decoding clamps infinities away
    return _finite(model, model.autoencoder.decode(made).float(), "frames")


def _finite(model: PortraitModel, values: Tensor, what: str) -> Tensor:
    """``values`` as they are; NotFiniteError where NaN or infinity is among them, which a video would show as black."""
    if values.isfinite().all():
        return values
    kind = str(model.dtype).removeprefix("torch.")
    remedy = {
        torch.float16: "they left its range; choose the dtype bfloat16 or float32",
        torch.bfloat16: "choose the dtype float32; if that changes nothing, the model's file is damaged: get it again",
    }.get(model.dtype, "no dtype is wider, so the model's file is damaged: get it again")
    raise NotFiniteError(f"model {model.config.name}: made {what} with NaN or infinite numbers in {kind}; {remedy}")


def full_size(reference: PortraitReference, size: OutputSize, *, device: torch.device | str = "cpu") -> FullSize:
    """What makes results of the portrait's own size.

    Args:
        device: of the model whose run it is.
    Raises:
        InputError: the portrait's face is not known.
    """
    if reference.original is None or reference.layers is None or reference.window is None:
        raise InputError("size: only a portrait whose face is known has a size of its own; analyse its face")
    original = reference.original
    return FullSize.of(
        original.pixels,
        original.landmarks,
        original.person,
        window=reference.window,
        framed=reference.layers,
        size=output_size((original.pixels.shape[0], original.pixels.shape[1]), size),
        device=device,
    )


def finisher_of(reference: PortraitReference, size: OutputSize, *, device: torch.device | str = "cpu") -> Finisher:
    """What makes results of a size; errors as ``full_size``."""
    return AtModelSize() if size == "model" else AtPortraitSize(full_size(reference, size, device=device))
