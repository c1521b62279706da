"""ComfyUI's picture layouts: IMAGE (F, H, W, C) in [0, 1], MASK (F, H, W) in [0, 1]."""

from __future__ import annotations

import logging
from typing import Any

import comfy.model_management as management
import torch
from torch import Tensor, nn

from ...model_core.errors import InputError
from ..sockets import HostedModel
from .memory import to_compute

_FRAMES_AT_ONCE = 8

_log = logging.getLogger(__name__)


def checked(image: Tensor, *, name: str) -> Tensor:
    """IMAGE to (F, 3 or 4, H, W) float, values and alpha as they are.

    Raises:
        InputError: no frames, no colours, NaN or infinite pixels; names the input.
    """
    from ...model_core.images import check_finite

    if image.ndim != 4 or 0 in image.shape:
        raise InputError(f"{name}: is empty, shape {tuple(image.shape)}; connect at least one image")
    if image.shape[-1] not in (3, 4):
        raise InputError(f"{name}: {image.shape[-1]} channel(s) where 3 (RGB) or 4 (with alpha) are needed; convert it")
    return check_finite(image, name=name).permute(0, 3, 1, 2).float()


def from_image(image: Tensor, *, name: str) -> Tensor:
    """IMAGE to (F, 3, H, W) in [-1, 1]; small overshoot, as of sharpening upscalers, is clamped.

    An alpha channel is dropped, which the log says.

    Raises:
        InputError: no frames, no colours, NaN or infinite pixels; names the input.
    """
    frames = checked(image, name=name)
    if frames.shape[1] == 4:
        _log.info("VividPortraits: %s has an alpha channel; it is not used, the colours under it are", name)
    return (frames[:, :3] * 2.0 - 1.0).clamp(-1.0, 1.0)


def from_cut_out(image: Tensor, *, name: str) -> tuple[Tensor, Tensor | None]:
    """IMAGE to (F, 3, H, W) in [-1, 1] over white, and its alpha (F, 1, H, W) in [0, 1].

    The alpha is None where there is none or nothing is transparent: then it says nothing.

    Raises:
        InputError: as ``from_image``, or nothing can be seen.
    """
    frames = checked(image, name=name)
    if frames.shape[1] == 3 or bool((frames[:, 3:] >= 1.0).all()):
        return (frames[:, :3] * 2.0 - 1.0).clamp(-1.0, 1.0), None
    alpha = frames[:, 3:].clamp(0.0, 1.0)
    if not (alpha > 0).flatten(1).any(dim=1).all():
        raise InputError(f"{name}: is wholly transparent; invert the mask that made its alpha channel")
    return torch.lerp(torch.ones_like(alpha), frames[:, :3] * 2.0 - 1.0, alpha).clamp(-1.0, 1.0), alpha


def to_image(frames: Tensor) -> Tensor:
    """(F, 3, H, W) in [-1, 1] to IMAGE."""
    return unit_to_image((frames + 1.0) / 2.0)


def unit_to_image(frames: Tensor) -> Tensor:
    """(F, 3, H, W) in [0, 1] to IMAGE."""
    return frames.clamp(0.0, 1.0).permute(0, 2, 3, 1).float().to(management.intermediate_device()).contiguous()


def as_image(frames: Tensor) -> Tensor:
    """(F, C, H, W) in [0, 1] to IMAGE, bit for bit; the way back from ``checked``."""
    return frames.permute(0, 2, 3, 1).to(management.intermediate_device()).contiguous()


def pixels_to_image(pixels: Any) -> Tensor:
    """(F, H, W, 3) uint8 to IMAGE."""
    return torch.from_numpy(pixels).to(management.intermediate_device()).float() / 255.0


def from_mask(mask: Tensor, *, size: tuple[int, int], name: str) -> Tensor:
    """One MASK to (1, 1, *size) in [0, 1].

    Raises:
        InputError: several masks, NaN, or nothing in it, as ComfyUI's Load Image gives for an opaque image.
    """
    if mask.ndim > 2 and len(mask) != 1:
        raise InputError(f"{name}: {len(mask)} masks for one portrait; pick one of them")
    made = from_masks(mask, frames=1, size=size, name=name)
    if not (made > 0).any():
        raise InputError(
            f"{name}: is empty. It has to be 1 on the person; Load Image's mask is 1 where the image is "
            "transparent: invert it, or disconnect it where the image has no transparency"
        )
    return made


def from_masks(mask: Tensor, *, frames: int, size: tuple[int, int], name: str) -> Tensor:
    """MASK to (1 or frames, 1, *size) in [0, 1]; one mask serves all frames.

    Raises:
        InputError: another number of masks, none, NaN.
    """
    mask = mask.reshape(-1, 1, *mask.shape[-2:]).float()
    if len(mask) not in (1, frames) or 0 in mask.shape:
        raise InputError(f"{name}: {len(mask)} masks for {frames} frames; connect one, or one for each frame")
    if not torch.isfinite(mask).all():
        raise InputError(f"{name}: NaN or infinite values; check the node that made it")
    if tuple(mask.shape[-2:]) != tuple(size):
        mask = nn.functional.interpolate(mask, size=size, mode="bilinear", antialias=True)
    return mask.clamp(0.0, 1.0)


@torch.no_grad()
def encode_images(hosted: HostedModel, images: Tensor) -> Tensor:
    """Frames (F, 3, H, W) in [-1, 1], of any size, to latents (F, C, h, w) on the device, a few frames at a time.

    The model has to be on the device. Cancel stops between two batches.
    """
    from ...model_core.images import resize

    parts = []
    for start in range(0, len(images), _FRAMES_AT_ONCE):
        management.throw_exception_if_processing_interrupted()
        part = resize(images[start : start + _FRAMES_AT_ONCE], hosted.model.config.size)
        parts.append(hosted.model.autoencoder.encode(to_compute(part, hosted)))
    return torch.cat(parts)


def decode_images(hosted: HostedModel, latents: Tensor) -> Tensor:
    """Latents (F, C, h, w) to IMAGE, a few frames at a time, so that a long clip needs no more memory than a short one.

    The model has to be on the device. Cancel stops between two batches.
    """
    from ...model_core.pipeline import decode

    parts = []
    for start in range(0, len(latents), _FRAMES_AT_ONCE):
        management.throw_exception_if_processing_interrupted()
        part = latents[start : start + _FRAMES_AT_ONCE]
        parts.append(to_image(decode(hosted.model, to_compute(part[None], hosted))))
    return torch.cat(parts)
