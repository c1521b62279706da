"""Frames at the portrait's own size, or the model's; and frames of the one brought to the other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import comfy.model_management as management
import numpy as np
import torch
from torch import Tensor

from ...model_core.errors import InputError
from ..sockets import HostedModel
from .memory import to_compute
from .pictures import decode_images

if TYPE_CHECKING:
    from ...model_core.pipeline import PortraitReference
    from ...model_core.types import MotionSignal
    from ...model_core.warp.full_size import FullSize, OutputSize

_FRAMES_AT_ONCE = 8
_SAME_SHAPE = 0.02  # relative difference of two aspect ratios

_log = logging.getLogger(__name__)


def finished_images(
    hosted: HostedModel,
    reference: PortraitReference | None,
    motion: MotionSignal | None,
    latents: Tensor,
    *,
    size: OutputSize,
    generated: bool = True,
) -> Tensor:
    """Latents (F, C, h, w) to IMAGE of a size, a few frames at a time.

    The model has to be on the device. Cancel stops between two frames. Where the face of the portrait, or where it
    goes, is not known, the frames have the model's size, which the log says.

    Args:
        generated: whether a network drew these latents; else they are the carried portrait, which is carried again.
    """
    whole = _whole_portrait(reference, motion, size)
    if whole is None or motion is None or motion.landmarks is None:
        return decode_images(hosted, latents)
    from ...model_core.images import to_uint8
    from ...model_core.pipeline import decode

    images = _empty_images(len(latents), whole.size)
    for start in range(0, len(latents), _FRAMES_AT_ONCE):
        management.throw_exception_if_processing_interrupted()
        part = slice(start, start + _FRAMES_AT_ONCE)
        drawn = to_uint8(decode(hosted.model, to_compute(latents[part][None], hosted))) if generated else None
        _fill(images[part], whole.frames(motion.landmarks[part], drawn))
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
    layers, landmarks = reference.layers, motion.landmarks
    whole = _whole_portrait(reference, motion, size)
    if whole is not None:
        layers, landmarks = whole.layers, whole.landmarks(landmarks)
    images = _empty_images(len(motion), layers.image.shape[:2])
    validity = torch.empty(images.shape[:3], device=images.device)
    for number in range(len(motion)):
        carried = layers.carry(landmarks[number : number + 1])
        _fill(images[number : number + 1], carried.frames)
        validity[number] = torch.from_numpy(carried.validity[0])
        progress()
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
    reference: PortraitReference | None, motion: MotionSignal | None, size: OutputSize
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

    return full_size(reference, size)


def _empty_images(count: int, size: tuple[int, ...]) -> Tensor:
    return torch.empty((count, *size, 3), device=management.intermediate_device())


def _fill(images: Tensor, frames: Iterable[Any]) -> None:
    for image, frame in zip(images, frames, strict=True):
        management.throw_exception_if_processing_interrupted()
        image.copy_(torch.from_numpy(np.ascontiguousarray(frame)))
        image.div_(255)
