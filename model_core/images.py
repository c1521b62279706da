"""Images in and out: files, checks, sizes.

An image is ``(1, 3, H, W)`` and a clip ``(F, 3, H, W)``, float32 RGB in [-1, 1]; pixels as a screen or a file
has them are ``(H, W, 3)`` or ``(F, H, W, 3)`` uint8.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor, nn

from .errors import InputError
from .files import atomic_path
from .paths import readable_file

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
WHITE = (255, 255, 255)
MIN_REFERENCE_SIZE = 64
"""Pixels along the shorter side: below, eyes and mouth are a handful of pixels and nothing can be copied."""

_RANGE_TOLERANCE = 0.01


def to_float(frames: np.ndarray | Tensor) -> Tensor:
    """(F, H, W, 3) or (H, W, 3) uint8 -> (F, 3, H, W) or (1, 3, H, W) float32 in [-1, 1]."""
    if frames.ndim == 3:
        frames = frames[None]
    pixels = frames if isinstance(frames, Tensor) else torch.from_numpy(np.ascontiguousarray(frames))
    return pixels.permute(0, 3, 1, 2).to(torch.float32).contiguous() / 127.5 - 1.0


def to_uint8(images: Tensor) -> np.ndarray:
    """(F, 3, H, W) float, clamped to [-1, 1] -> (F, H, W, 3) uint8; the inverse of ``to_float``."""
    levels = ((images.detach().float() + 1.0) * 127.5).round().clamp(0, 255)
    return levels.permute(0, 2, 3, 1).to(torch.uint8).contiguous().cpu().numpy()


def rgb_pixels(image: Image.Image, *, background: tuple[int, int, int] = WHITE) -> np.ndarray:
    """Any PIL image as (H, W, 3) uint8 RGB.

    EXIF orientation is applied; 16-bit grey is scaled to 8 bits, not clipped; grey and palettes become RGB.
    What is transparent shows ``background``: white unless told, as a cut-out portrait looks on a page.
    """
    image = ImageOps.exif_transpose(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _to_8_bit(image)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        canvas = Image.new("RGBA", rgba.size, (*background, 255))
        image = Image.alpha_composite(canvas, rgba)
    return np.array(image.convert("RGB"))


def _to_8_bit(image: Image.Image) -> Image.Image:
    """16-bit grey levels (mode "I" holds them in 32 bits), or floats in [0, 1], as 8-bit grey."""
    levels = np.asarray(image).astype(np.float64) * (255.0 if image.mode == "F" else 255.0 / 65535.0)
    if not np.isfinite(levels).all():
        raise InputError("has NaN or infinite pixels; save it as an 8-bit PNG")
    return Image.fromarray(levels.round().clip(0, 255).astype(np.uint8))


def read_pixels(path: str | os.PathLike[str], *, background: tuple[int, int, int] = WHITE) -> np.ndarray:
    """An image file as (H, W, 3) uint8 RGB, upright, see ``rgb_pixels``.

    Raises:
        InputError: the file is missing, a folder, not allowed to be read, truncated or no image; the message names it.
    """
    path = readable_file(path, name="image")
    try:
        with Image.open(path) as image:
            return rgb_pixels(image, background=background)
    except InputError as error:
        raise InputError(f"image {path}: {error}") from error
    except Image.DecompressionBombError as error:
        raise InputError(f"image {path}: far too large ({error}); scale it down first") from error
    except UnidentifiedImageError as error:
        raise InputError(f"image {path}: not an image that can be read; save it as PNG or JPEG") from error
    # PIL reports damaged data as any of these, depending on the format
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"image {path}: damaged or unreadable ({error}); save it again as PNG") from error


def load_image(path: str | os.PathLike[str], *, background: tuple[int, int, int] = WHITE) -> Tensor:
    """An image file as (1, 3, H, W) float32 in [-1, 1], upright, see ``rgb_pixels``.

    Raises:
        InputError: the file is missing, a folder, truncated or no image; the message names it.
    """
    return to_float(read_pixels(path, background=background))


def save_image(image: Tensor | np.ndarray, path: str | os.PathLike[str]) -> Path:
    """Write one image, atomically; the suffix of ``path`` chooses the format.

    Args:
        image: (H, W, 3) uint8, or (1, 3, H, W) float in [-1, 1].
    Raises:
        InputError: unknown suffix, or the file cannot be written (full disk, no permission).
    """
    path = Path(path)
    pixels = to_uint8(image)[0] if isinstance(image, Tensor) else image
    try:
        with atomic_path(path) as partial:
            Image.fromarray(pixels).save(partial)
    except ValueError as error:
        raise InputError(f"image {path}: {error}; name it .png or .jpg") from error
    except OSError as error:
        reason = error.strerror or error
        raise InputError(
            f"image {path}: cannot be written ({reason}); free some space or choose another folder"
        ) from error
    return path


def check_image(image: Tensor, *, name: str) -> Tensor:
    """Refuse what is not (F >= 1, 3, H, W) finite float in [-1, 1].

    Args:
        name: of the input, for the message.
    Returns:
        the image itself.
    Raises:
        InputError: says what is wrong with ``name`` and what to do.
    """
    if image.ndim != 4 or image.shape[1] != 3:
        shape = tuple(image.shape)
        raise InputError(f"{name}: expected (frames, 3, height, width), got {shape}; convert it to RGB")
    if 0 in image.shape:
        raise InputError(f"{name}: is empty, shape {tuple(image.shape)}; give at least one frame")
    if not image.is_floating_point():
        raise InputError(f"{name}: expected float in [-1, 1], got {image.dtype}; divide by 127.5, subtract 1")
    check_finite(image, name=name)
    low, high = image.aminmax()
    if low < -1 - _RANGE_TOLERANCE or high > 1 + _RANGE_TOLERANCE:
        raise InputError(f"{name}: values in [{low:.3g}, {high:.3g}], expected [-1, 1]; rescale it first")
    return image


def check_finite(images: Tensor, *, name: str) -> Tensor:
    """The images (F, ...) themselves, unless a pixel is NaN or infinite.

    Raises:
        InputError: names the input and the frames.
    """
    finite = torch.isfinite(images).flatten(1).all(dim=1)
    if not finite.all():
        frames = (~finite).nonzero().flatten().tolist()
        shown = ", ".join(map(str, frames[:8])) + (", ..." if len(frames) > 8 else "")
        raise InputError(f"{name}: NaN or infinite pixels in frame {shown}; check the step that made it")
    return images


def check_reference(image: Tensor, *, name: str = "reference", minimum: int = MIN_REFERENCE_SIZE) -> Tensor:
    """``check_image`` for the one portrait: a single image, at least ``minimum`` pixels in both directions.

    Returns:
        the image itself.
    Raises:
        InputError: says what is wrong with ``name`` and what to do.
    """
    check_image(image, name=name)
    frames, _, height, width = image.shape
    if frames != 1:
        raise InputError(f"{name}: one image is needed, got {frames}; pick one of them")
    if min(height, width) < minimum:
        raise InputError(
            f"{name}: {width} x {height} pixels (width x height) is too small; use at least {minimum} x {minimum}"
        )
    return image


def resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """(F, 3, H, W) in [-1, 1] -> (F, 3, *size): bicubic, antialiased, overshoot clamped; no-op if it fits."""
    if tuple(images.shape[-2:]) == tuple(size):
        return images
    resized = nn.functional.interpolate(images.float(), size=size, mode="bicubic", antialias=True, align_corners=False)
    return resized.clamp(-1.0, 1.0).to(images.dtype)


def cut(images: Tensor, rows: range, columns: range) -> Tensor:
    """(..., H, W) -> (..., len(rows), len(columns)): a part of pictures; beyond them their border is repeated."""
    inside = (
        torch.arange(part.start, part.stop, device=images.device).clamp(0, side - 1)
        for part, side in zip((rows, columns), images.shape[-2:], strict=True)
    )
    y, x = inside
    return images[..., y, :][..., x]
