"""The portrait carried to every frame by its own face mesh: no network, sharp, at any size.

The person moves with the mesh over the still background; eyeballs lie behind the lids, teeth behind the lips. What the
portrait does not show (an open mouth of a closed one, what a turn uncovers) is painted plainly and has no validity:
that is where a network is needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from ..motion.alignment import face_size
from ..types import Component
from .background import background_plate
from .carrier import Carrier
from .eyes import Eyeball
from .head import with_rings
from .mouth import InnerMouth
from .resampling import resampler_for

_GRID_FACE = 64.0
"""Grid points of the flow across a face size: enough to keep nearly all landmarks within half a pixel."""

_PERSON_MARGIN = 0.12
"""Face sizes around the person that move with it, fading: tips of hair, brims of hats, the background just there."""

_PLATE_MARGIN = 0.04
"""Face sizes around the person that the background does not show: its mask is never quite where it ends."""


@dataclass(frozen=True)
class Carried:
    """The portrait in some frames.

    Attributes:
        frames: (F, H, W, 3) uint8.
        validity: (F, H, W) float32 in [0, 1], how much of a pixel the portrait really shows: 0 where it was stretched
            out of nothing, between lips that were closed, and where the background is made up.
    """

    frames: np.ndarray
    validity: np.ndarray


@dataclass(frozen=True)
class PortraitLayers:
    """All that is made of a portrait once.

    Attributes:
        image: (H, W, 3) uint8.
        mesh: (V, 3) float64, landmarks and rings, in its pixels.
        person: (H, W) float32 in [0, 1], what moves.
        plate: (H, W, 3) uint8, the background without the person.
        plate_known: (H, W) float32, 1 where the plate is the portrait's own.
        eyes, mouth: the layers behind lids and lips.
        step: pixels between two points of the flow's grid.
    """

    image: np.ndarray
    mesh: np.ndarray
    person: np.ndarray
    plate: np.ndarray
    plate_known: np.ndarray
    eyes: tuple[Eyeball, ...]
    mouth: InnerMouth
    step: float

    @classmethod
    def of(cls, image: np.ndarray, landmarks: np.ndarray, person: np.ndarray) -> PortraitLayers:
        """Take a portrait apart.

        Args:
            image: (H, W, 3) uint8.
            landmarks: (478, 3), its face in its pixels.
            person: (H, W) float in [0, 1], 1 on the person (faces/foreground.py).
        """
        points = landmarks.astype(np.float64)
        size = face_size(points)
        person = person.astype(np.float32)
        plate, known = _plate(image, _grown(person, _PLATE_MARGIN * size))
        eyes = (Eyeball.of(image, points, eye) for eye in (Component.LEFT_EYE, Component.RIGHT_EYE))
        return cls(
            image=np.require(image, requirements=["C", "W"]),  # torch shares no memory that is read-only
            mesh=with_rings(points),
            person=_soft(_grown(person, _PERSON_MARGIN * size), _PERSON_MARGIN * size / 2),
            plate=plate,
            plate_known=known,
            eyes=tuple(eye for eye in eyes if eye is not None),
            mouth=InnerMouth.of(image, points),
            step=max(1.0, size / _GRID_FACE),
        )

    def on(self, device: torch.device | str) -> Carrier:
        """The layers on the device that is to carry them, or where ``resampler_for`` falls back to."""
        return Carrier(self, resampler_for(device))

    def carry(self, landmarks: np.ndarray) -> Carried:
        """Carry the portrait to landmarks (F, 478, 3) in its own pixels, on the processor."""
        frames, validity = self.on("cpu").carry_all(landmarks)
        return Carried(frames.numpy(), validity.numpy())


def _grown(mask: np.ndarray, margin: float) -> np.ndarray:
    side = 2 * max(round(margin), 1) + 1
    return np.asarray(cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))))


def _soft(mask: np.ndarray, deviation: float) -> np.ndarray:
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), max(deviation, 0.5)))


def _plate(image: np.ndarray, person: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The background without the person, (H, W, 3) uint8, and where it is the portrait's own, (H, W) float32."""
    pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float()
    filled = background_plate(pixels, torch.from_numpy(person)[None, None])[0].permute(1, 2, 0)
    return filled.round().clamp(0, 255).to(torch.uint8).numpy(), 1 - person
