"""Frames at the portrait's own size, or the model's; and frames of the one brought to the other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import comfy.model_management as management
import torch
from torch import Tensor

from ...model_core.errors import InputError
from ..sockets import HostedModel
from .memory import device_for_tools, to_compute
from .pictures import decode_images
from .progress import cancellable

if TYPE_CHECKING:
    from ...model_core.config import SamplingConfig
    from ...model_core.pipeline import PortraitReference
    from ...model_core.types import HistoryFrames, MotionSignal, StepObserver
    from ...model_core.warp.full_size import FullSize, OutputSize

_CARRYING_MEMORY = 2**30  # bytes
_SAME_SHAPE = 0.02  # relative difference of two aspect ratios

_log = logging.getLogger(__name__)


def animated_images(
    hosted: HostedModel,
    reference: PortraitReference,
    motion: MotionSignal,
    sampling: SamplingConfig,
    *,
    size: OutputSize,
    history: HistoryFrames | None,
    observer: StepObserver,
) -> tuple[Tensor, Tensor]:
    """The latents (F, C, h, w) that the model samples, and an IMAGE of a size.

    The model has to be on the device. Cancel stops within one network call, or between two frames. Where the face of
    the portrait, or where it goes, is not known, the frames have the model's size, which the log says.
    """
    from ...model_core.finish import AtModelSize, AtPortraitSize
    from ...model_core.pipeline import FinishedChunk, Plan, animate

    whole = _whole_portrait(reference, motion, size, device=hosted.patcher.load_device)
    finisher = AtModelSize() if whole is None else AtPortraitSize(whole)
    images = None if whole is None else _empty_images(len(motion), whole.size)
    latents = []
    model, encoded = cancellable(hosted.model), to_compute(reference, hosted)
    for event in animate(model, encoded, motion, sampling, finisher=finisher, history=history):
        if isinstance(event, FinishedChunk):
            latents.append(event.latents[0].float())
            if images is not None:
                _fill(images[event.chunk.start : event.chunk.stop], event.frames)
        elif not isinstance(event, Plan):
            observer(event)
    made = torch.cat(latents)
    return made, decode_images(hosted, made) if images is None else images  # unrounded


def finished_images(
    hosted: HostedModel,
    reference: PortraitReference | None,
    motion: MotionSignal | None,
    latents: Tensor,
    *,
    size: OutputSize,
) -> Tensor:
    """Latents (F, C, h, w) to IMAGE of a size, a few frames at a time; what ``animated_images`` says of it holds."""
    whole = _whole_portrait(reference, motion, size, device=hosted.patcher.load_device)
    if whole is None or motion is None:
        return decode_images(hosted, latents)
    from ...model_core.finish import AtPortraitSize
    from ...model_core.pipeline import SampledChunk, finished_frames
    from ...model_core.sampling import Chunk

    images = _empty_images(len(latents), whole.size)
    sampled = SampledChunk(Chunk(0, len(latents)), to_compute(latents[None], hosted), motion)
    _fill(images, finished_frames(hosted.model, sampled, AtPortraitSize(whole)))
    return images


def carried_images(
    reference: PortraitReference, motion: MotionSignal, *, size: OutputSize, progress: Callable[[], object]
) -> tuple[Tensor, Tensor]:
    """The portrait carried to the motion, without a network: IMAGE, and MASK of how much of each pixel it shows.

    Args:
        progress: told after every frame.
    Raises:
        InputError: the face of the portrait, or where it goes, is not known; names the node to connect.
    """
    if reference.layers is None:
        raise InputError(
            "reference: its face is not known; connect the track of Analyze Faces, of the same image, to Encode "
            "Reference"
        )
    if motion.landmarks is None:
        raise InputError("motion: carries no landmarks; make it with one of the motion nodes of this pack")
    shown, seen = tuple(motion.frames.shape[-2:]), reference.layers.image.shape[:2]
    if shown != seen:
        raise InputError(
            f"motion: is {shown[1]}x{shown[0]}, the reference {seen[1]}x{seen[0]}; connect Encode Reference's "
            "framed_track to the motion node"
        )
    device = device_for_tools(_CARRYING_MEMORY)
    carrier, landmarks = reference.layers.on(device), motion.landmarks
    whole = _whole_portrait(reference, motion, size, device=device)
    if whole is not None:
        carrier, landmarks = whole.carrier, whole.landmarks(landmarks)
    images = _empty_images(len(motion), carrier.layers.image.shape[:2])
    validity = torch.empty(images.shape[:3], device=images.device)
    done = 0
    for frames, seen in carrier.carry(landmarks):
        part = slice(done, done + len(frames))
        _fill(images[part], frames)
        validity[part] = seen
        for _ in range(len(frames)):
            progress()
        done = part.stop
    return images, validity


def as_the_model_sees(reference: PortraitReference, images: Tensor, *, size: tuple[int, int]) -> Tensor:
    """Of frames (F, 3, H, W) that show the whole portrait, the window that the model works in; others as they are.

    Args:
        size: (H, W) of the model; frames of this size show the window already.
    """
    from ...model_core.images import cut

    height, width = images.shape[-2:]
    if reference.original is None or reference.window is None or (height, width) == tuple(size):
        return images
    full = reference.original.pixels.shape
    if abs(width * full[0] / (height * full[1]) - 1) > _SAME_SHAPE:
        return images
    left, top, across, down = reference.window
    y, x = height / full[0], width / full[1]
    return cut(
        images, range(round(top * y), round((top + down) * y)), range(round(left * x), round((left + across) * x))
    )


def _whole_portrait(
    reference: PortraitReference | None, motion: MotionSignal | None, size: OutputSize, *, device: torch.device
) -> FullSize | None:
    """What makes frames of a size; None for the model's."""
    if size == "model" or reference is None or motion is None:
        return None
    if reference.original is None:
        _log.warning(
            "size %s: the portrait's face is not known, so the frames have the model's size; connect the track of "
            "Analyze Faces to Encode Reference",
            size,
        )
        return None
    if motion.landmarks is None:
        _log.warning("size %s: the motion carries no landmarks, so the frames have the model's size", size)
        return None
    from ...model_core.pipeline import full_size

    return full_size(reference, size, device=device)


def _empty_images(count: int, size: tuple[int, ...]) -> Tensor:
    return torch.empty((count, *size, 3), device=management.intermediate_device())


def _fill(images: Tensor, frames: Iterable[Any]) -> None:
    for image, frame in zip(images, frames, strict=True):
        management.throw_exception_if_processing_interrupted()
        image.copy_(torch.as_tensor(frame))
        image.div_(255)
