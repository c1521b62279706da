"""Reference warp: a first guess of every frame, made by moving the portrait's own pixels over its own background.

A narrow denoiser spends most of its capacity on carrying the portrait to where the head has gone. This optional
part reads off the two motion signals, the portrait's and the driving frame's, where each place of the frame
lies in the portrait. Components' moments give the coarse motion of head and body, a small convolutional network
refines it, and the moved person is laid over the portrait's background, filled in where the person stood. It
runs once per clip; the denoiser then draws what moving pixels cannot: expressions, gaze, light, what was hidden.
Neither paper has it: full-width models carry the portrait by reference attention alone. Keypoints, coarse and
dense motion in this order are the idea of first-order motion models; here the keypoints are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...types import ReferenceInputs
from ..frames import pick_frames
from .background import background_plate
from .moments import COMPONENTS, FEATURES, component_moments, face_frame
from .u_network import UShape, conv

_WIDTHS = (32, 48, 64)
_HIDDEN = 192
_HEAD_TERMS, _BODY_TERMS = 10, 3
_REACH = 3.0  # face sizes from the face's centre, beyond which the head's motion no longer changes
_PERSON_LOGIT = 6.0


@dataclass(frozen=True)
class WarpSource:
    """What the warp keeps of the portrait.

    Attributes:
        pictures: (B, 7, 2h, 2w): image, foreground and motion signal.
        moments: (B, 10, 6) of the motion signal.
        person: (B, 1, H', W') foreground at the size of the pixels that move.
        background: (B, c, H', W'), those pixels without the person.
    """

    pictures: Tensor
    moments: Tensor
    person: Tensor
    background: Tensor


@dataclass(frozen=True)
class Flow:
    """Where the places of a frame lie in the reference.

    Attributes:
        offset: (B, F, 2, h, w) float32, x and y to add to a place's own position, in half frames.
        person: (B, F, 1, h, w) float32, correction of where the moved person covers the background, as a logit.
    """

    offset: Tensor
    person: Tensor


@dataclass(frozen=True)
class Moved:
    """The reference moved to every frame.

    Attributes:
        latents: (B, F, C, h, w).
        flow: how it was moved.
        readings: what a family that reads parsing maps off its motion signal read of the portrait and of the
            frames, for the loss of training; else None.
    """

    latents: Tensor
    flow: Flow
    readings: Any = None

    def take(self, frames: Sequence[int]) -> Moved:
        """The latents of the frames of one window; the rest is for training, which has no windows."""
        return replace(self, latents=pick_frames(self.latents, frames))


class CoarseMotion(nn.Module):
    """From two faces' moments to the smooth motion of head and body."""

    def __init__(self) -> None:
        super().__init__()
        inputs = 3 * len(COMPONENTS) * FEATURES + 6
        self.enter = nn.Linear(inputs, _HIDDEN)
        self.middle = nn.Linear(_HIDDEN, _HIDDEN)
        self.out = nn.Linear(_HIDDEN, 2 * (_HEAD_TERMS + _BODY_TERMS))
        nn.init.zeros_(self.out.weight)  # a fresh warp leaves the portrait where it is
        nn.init.zeros_(self.out.bias)

    def forward(self, reference: Tensor, driving: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """Offsets of head and body at places of the driving frame.

        Always in float32: a component's place has to be known to a fraction of a pixel.

        Args:
            reference, driving: moments (N, 10, 6) of both faces.
            places: (N or 1, P, 2), x and y in [-1, 1] of the frame.
        Returns:
            two of (N, P, 2), in half frames.
        """
        with torch.autocast(driving.device.type, enabled=False):
            reference, driving = reference.float(), driving.float()
            centre, extent = face_frame(driving)
            terms = self._terms((places - centre[:, None]) / (2 * extent[:, None]))
            coefficients = self._coefficients(reference, driving, torch.cat([centre, extent], dim=1))
            head, body = coefficients.split([_HEAD_TERMS, _BODY_TERMS], dim=1)
            return terms @ head, terms[..., :_BODY_TERMS] @ body

    def _coefficients(self, reference: Tensor, driving: Tensor, face: Tensor) -> Tensor:
        """(N, terms, 2) of the polynomials, from what both faces show and how they differ."""
        seen_in_both = driving[..., :1] * reference[..., :1] > 0
        parts = [reference, driving, (driving - reference) * seen_in_both]
        scale = torch.tensor([1, 3, 3, 100, 100, 100], device=driving.device)  # all about as large as 1
        faces = torch.cat([face, *face_frame(reference)], dim=1) * 3
        hidden = torch.cat([*((part * scale).flatten(1) for part in parts), faces], dim=1)
        for layer in (self.enter, self.middle):
            hidden = F.silu(_linear(layer, hidden))
        return 0.1 * _linear(self.out, hidden).unflatten(1, (-1, 2))

    def _terms(self, places: Tensor) -> Tensor:
        """Polynomials up to the third degree of places in face sizes, levelling off at ``_REACH``; (N, P, terms)."""
        u, v = (_REACH * torch.tanh(places / _REACH)).unbind(-1)
        linear = [torch.ones_like(u), u, v]
        square = [u * u / 3, u * v / 3, v * v / 3]
        cubic = [u * u * u / 9, u * u * v / 9, u * v * v / 9, v * v * v / 9]
        return torch.stack([*linear, *square, *cubic], dim=-1)


class ReferenceWarp(UShape):
    """Predicts a ``Flow`` and applies it to latents.

    Args:
        fold: image pixels along each side that a latent position holds as channels; 1 where latents are not
            folded pixels.
        stride: image pixels along each side of a latent position.
    """

    def __init__(self, *, fold: int, stride: int) -> None:
        super().__init__()
        self.fold = fold
        self.stride = stride
        first, second, third = _WIDTHS
        self.coarse = CoarseMotion()
        self.enter = conv(7 + 3 + 2 * 7 + 4, first, 2)
        self.down = nn.ModuleList([conv(first, second, 2), conv(second, third, 2)])
        self.middle = nn.Sequential(conv(third, third), conv(third, third))
        self.up = nn.ModuleList([conv(third + second, second), conv(second + first, first)])
        self.out = nn.Conv2d(first, 4, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def source(self, inputs: ReferenceInputs, motion: Tensor, moments: Tensor | None = None) -> WarpSource:
        """What the warp needs of the reference, once per portrait.

        Args:
            motion: (B, 3, H', W'), the parsing map of the portrait's own face, of any size.
            moments: (B, 10, 6), where they are known better than from the map's colours.
        """
        foreground = torch.ones_like(inputs.image[:, :1]) if inputs.foreground is None else inputs.foreground
        pixels = self._unfold(inputs.latents)
        person = F.interpolate(foreground.float(), pixels.shape[-2:], mode="bilinear", antialias=True)
        shown = torch.cat([inputs.image, foreground], dim=1)
        size = [side * 2 // self.stride for side in shown.shape[-2:]]  # the flow is smooth: more is not needed
        return WarpSource(
            pictures=torch.cat([_resize(shown, size), _resize(motion, size)], dim=1),
            moments=component_moments(motion) if moments is None else moments,
            person=person,
            background=background_plate(pixels, person),
        )

    def forward(self, source: WarpSource, motion: Tensor, moments: Tensor | None = None) -> Flow:
        """Predict the flow of every frame.

        Args:
            motion: (B, F, 3, H', W') in [0, 1], parsing maps of any size.
            moments: (B * F, 10, 6), where they are known better than from the maps' colours.
        """
        batch, frames = motion.shape[:2]
        flat = motion.flatten(0, 1)
        pictures = source.pictures.repeat_interleave(frames, 0)
        size = (pictures.shape[-2], pictures.shape[-1])
        if moments is None:
            moments = component_moments(flat)
        places = _own_positions(size, moments)
        coarse = self.coarse(source.moments.repeat_interleave(frames, 0), moments, places.flatten(1, 2))
        head, body = (offset.unflatten(1, size).permute(0, 3, 1, 2) for offset in coarse)
        by_head, by_body = (_sample(pictures, places + offset.permute(0, 2, 3, 1)) for offset in (head, body))
        seen = [pictures, _resize(flat, size), by_head, by_body, head.to(pictures), body.to(pictures)]
        out = self.run(torch.cat(seen, dim=1)).float()
        share = torch.sigmoid(out[:, 2:3] - 2)  # of the body's motion
        head, body = (F.avg_pool2d(part, 2) for part in (head, body))
        offset = torch.lerp(head, body, share) + 0.1 * out[:, :2]
        return Flow(offset.unflatten(0, (batch, frames)), out[:, 3:].unflatten(0, (batch, frames)))

    def move(self, latents: Tensor, source: WarpSource, flow: Flow) -> Tensor:
        """The moved person over its background: latents (B, C, h, w) to (B, F, C, h, w)."""
        batch, frames = flow.offset.shape[:2]
        pixels = torch.cat([self._unfold(latents).float(), source.person.float()], dim=1)
        size = (pixels.shape[-2], pixels.shape[-1])
        offset, logit = (
            F.interpolate(part.flatten(0, 1), size, mode="bilinear", align_corners=False)
            for part in (flow.offset, flow.person)
        )
        still = pixels.repeat_interleave(frames, 0)
        moved = _sample(still, _own_positions(size, still) + offset.permute(0, 2, 3, 1))
        covers = torch.sigmoid(logit + _PERSON_LOGIT * (2 * moved[:, -1:] - 1))
        background = source.background.float().repeat_interleave(frames, 0)
        mixed = torch.lerp(background, moved[:, :-1], covers)
        folded = F.pixel_unshuffle(mixed, self.fold) if self.fold > 1 else mixed
        return folded.unflatten(0, (batch, frames)).to(latents.dtype)

    def _unfold(self, latents: Tensor) -> Tensor:
        return F.pixel_shuffle(latents, self.fold) if self.fold > 1 else latents


def _resize(images: Tensor, size: Sequence[int]) -> Tensor:
    small = F.interpolate(images.float(), list(size), mode="bilinear", align_corners=False, antialias=True)
    return small.to(images.dtype)  # half precision has no antialiased kernel on processors


def _linear(layer: nn.Linear, values: Tensor) -> Tensor:
    return F.linear(values, layer.weight.float(), layer.bias.float())


def _sample(images: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(images.float(), grid.float(), padding_mode="border", align_corners=False).to(images.dtype)


def _own_positions(size: tuple[int, int], like: Tensor) -> Tensor:
    """(1, H, W, 2): x and y of every pixel's centre in [-1, 1]."""
    height, width = size
    y = (torch.arange(height, device=like.device, dtype=like.dtype) * 2 + 1) / height - 1
    x = (torch.arange(width, device=like.device, dtype=like.dtype) * 2 + 1) / width - 1
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)[None]


def landmark_flow_error(flow: Flow, target: Tensor, reference: Tensor) -> Tensor:
    """How far the flow at the target's landmarks leads from the reference's landmarks; a scalar, for training.

    Args:
        target: (B, F, L, 2) landmarks of the true frame, x and y in [-1, 1] of the frame.
        reference: (B, L, 2), the same points in the reference.
    """
    offset = flow.offset.flatten(0, 1)
    found = F.grid_sample(offset, target.flatten(0, 1)[:, :, None], padding_mode="border", align_corners=False)
    found = found[..., 0].transpose(1, 2).unflatten(0, target.shape[:2])
    return F.smooth_l1_loss(found, reference[:, None] - target, beta=0.02)


def dense_flow_error(flow: Flow, target: Tensor, known: Tensor) -> Tensor:
    """Error of the flow where the true one is known; a scalar, for training.

    Args:
        target: (B, F, 2, h', w'), the true offsets, in half frames.
        known: (B, F, 1, h', w') in [0, 1].
    """
    size = target.shape[-2:]
    offset = F.interpolate(flow.offset.flatten(0, 1), size, mode="bilinear", align_corners=False)
    error = F.smooth_l1_loss(offset, target.flatten(0, 1), beta=0.02, reduction="none").sum(1, keepdim=True)
    weight = known.flatten(0, 1)
    return (error * weight).sum() / weight.sum().clamp(min=1)
