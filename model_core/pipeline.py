"""The straight line from a portrait and a driving video to frames.

``animate`` is the whole of it; every stage is a function of its own, which is what the nodes call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .backbones.base import AnimationInputs
from .config import ModelConfig, SamplingConfig
from .errors import InputError, NotFiniteError
from .faces.framing import Framing, Portrait, frame_portrait
from .geometry import Placement, Rectangle
from .images import to_float, to_uint8
from .models import PortraitModel
from .motion.masked_frames import masked_frames_signal
from .motion.parsing_map import parsing_map_signal
from .motion.scenes import MotionSettings, PlacedMotion, place_scenes
from .motion.signals import check_signal, draw_part, join_signals, make_signal
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
from .types import (
    Baseline,
    FaceTrack,
    HistoryFrames,
    MotionSignal,
    MotionSource,
    ReferenceInputs,
    StepObserver,
)
from .warp import PortraitLayers
from .warp.full_size import FullSize, OutputSize, output_size


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


def prepare_motion(
    model: PortraitModel,
    driving: FaceTrack,
    *,
    reference: FaceTrack | None = None,
    settings: MotionSettings | None = None,
    frames: Tensor | None = None,
) -> MotionSignal:
    """The motion signal that a model takes, of a whole clip, placed on the reference.

    Args:
        driving: the driving face.
        reference: the portrait's face in the model's pixels (``PortraitReference.track``); without it the
            driving face stays where it is in its own frame.
        settings: how it is placed; None retargets all of it.
        frames: (F, 3, H, W) in [-1, 1], the driving frames; only masked frames need them.
    """
    config = model.config
    return make_signal(
        config.motion_kind, driving, reference=reference, settings=settings, frames=frames, size=config.size
    )


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
            track = self.placed.driving.take(part)
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


def carried_baseline(model: PortraitModel, reference: PortraitReference, motion: MotionSignal) -> Baseline | None:
    """The portrait carried to the motion's landmarks; None where the face of either is not known."""
    if reference.layers is None or motion.landmarks is None:
        return None
    carried = reference.layers.carry(motion.landmarks)
    latents = model.autoencoder.encode(to_float(carried.frames).to(model.device, model.dtype))
    validity = torch.from_numpy(carried.validity)[:, None]
    return Baseline(latents, validity.to(model.device, model.dtype))


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
            asked for one chunk at a time, by the frames' numbers in the clip. None starts from the carried portrait.
    Yields:
        (1, n, C, h, w), the clean latents of the next n frames.
    Raises:
        NotFiniteError: before such latents are given out.
    """
    if isinstance(motion, MotionSignal):  # what is drawn on demand is drawn for this model
        check_signal(motion, kind=model.config.motion_kind, size=model.config.size, model=model.config.name)
    if sampling.steps == 0:
        yield from _carried_chunks(model, reference, motion, sampling, first_chunk)
        return
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
        signal = replace(part, frames=part.frames.to(model.device, model.dtype))
        wanted = model.backbone.uses_baseline or (sampling.denoise < 1 and initial is None)
        baseline = carried_baseline(model, reference, part) if wanted else None
        noise = frame_noise(tuple(reference.latents.shape[1:]), range(chunk.start, chunk.stop), seed=sampling.seed)
        begin = None
        if initial is not None and sampling.denoise < 1:
            begin = initial(range(chunk.start, chunk.stop))[None].to(model.device)
        elif sampling.denoise < 1 and baseline is not None:
            begin = baseline.latents[None]
        latents = sample(
            model.backbone,
            model.backbone.prepare(AnimationInputs(reference.encoded, signal, history, baseline)),
            noise.to(model.device, model.dtype),
            scheduler=make_scheduler(model.config.schedule, sampling.scheduler),
            steps=sampling.steps,
            windows=windows,
            guidance=guidance,
            initial=begin,
            denoise=sampling.denoise,
            generator=torch.Generator().manual_seed((sampling.seed + chunk.start) % 2**63),
            observer=observer,
        )
        yield _finite(model, latents, "latents")
        history = carry_history(latents, signal, sampling.history)


def _carried_chunks(
    model: PortraitModel,
    reference: PortraitReference,
    motion: MotionSource,
    sampling: SamplingConfig,
    first_chunk: int,
) -> Iterator[Tensor]:
    """No steps at all: the carried portrait as it is."""
    for chunk in clip_chunks(len(motion), sampling)[first_chunk:]:
        baseline = carried_baseline(model, reference, motion.take(range(chunk.start, chunk.stop)))
        if baseline is None:
            raise InputError(
                "steps 0: carries the portrait by its face, which is not known here; analyse the portrait's face and "
                "connect it, or choose at least 1 step"
            )
        yield baseline.latents[None]


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


def full_size(reference: PortraitReference, size: OutputSize) -> FullSize:
    """What makes results of the portrait's own size.

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
    )


def animate(
    model: PortraitModel,
    image: Tensor,
    driving: FaceTrack,
    *,
    track: FaceTrack,
    foreground: Tensor | None = None,
    sampling: SamplingConfig | None = None,
    settings: MotionSettings | None = None,
    framing: Framing = "auto",
    driving_frames: Tensor | None = None,
    size: OutputSize = "model",
    observer: StepObserver | None = None,
) -> Iterator[Tensor]:
    """Make a portrait move as a driving face moves.

    Args:
        image: (1, 3, H, W) in [-1, 1], the portrait.
        driving: the driving face, from ``faces.analyze_frames``.
        track: the portrait's face, one frame, from the same.
        foreground: (1, 1, H, W) in [0, 1] or None.
        sampling: None takes the model's own defaults.
        settings: how the motion is placed; None retargets all of it.
        driving_frames: (F, 3, H, W), for models driven by masked frames.
        size: of the result, see ``warp.full_size.output_size``.
    Yields:
        (n, 3, H, W) float32 in [-1, 1], the next n frames.
    """
    reference = encode_reference(model, image, track=track, foreground=foreground, framing=framing)
    assert reference.track is not None
    settings = settings or MotionSettings()
    placed = PlacedMotion(driving, place_scenes(driving, reference.track, settings), reference.track, settings)
    read = None if driving_frames is None else _few_at_once(driving_frames)
    motion = DrivingMotion(model.config, placed, read)
    sampling = sampling or model.config.sampling
    whole = None if size == "model" else full_size(reference, size)
    done = 0
    for latents in sample_chunks(model, reference, motion, sampling, observer=observer):
        pictures = decode(model, latents)
        if whole is None:
            yield pictures
        else:
            landmarks = placed.landmarks(done, done + len(pictures))
            generated = to_uint8(pictures) if sampling.steps else None
            yield to_float(np.stack(list(whole.frames(landmarks, generated))))
        done += len(pictures)


def _few_at_once(frames: Tensor, count: int = 8) -> Callable[[int, int], Iterator[np.ndarray]]:
    def read(start: int, stop: int) -> Iterator[np.ndarray]:
        for first in range(start, stop, count):
            yield to_uint8(frames[first : min(first + count, stop)])

    return read
