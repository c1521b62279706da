"""Who an avatar is: shape, colours, hair, beard, glasses, clothes, background, light.

Lengths are in units of half the head's height, positions on the frontal plane of the head (x right, y down,
the origin in its middle). Colours are RGB in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.random import Generator

Colour = np.ndarray
"""(3,) float32 RGB in [0, 1]."""

HAIR_STYLES = ("bald", "short", "short", "mid", "long", "long", "curly", "bun", "hat")
BEARDS = ("none", "none", "none", "stubble", "full", "goatee", "moustache")
CLOTH_PATTERNS = ("plain", "stripes", "vstripes", "check", "dots", "noise", "noise")
BACKGROUNDS = ("gradient", "noise", "noise", "noise", "check", "stripes", "blobs")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Proportions of the head and face."""

    half_width: float
    depth: float
    taper: float
    scale: float
    eye_y: float
    eye_x: float
    eye_width: float
    eye_height: float
    eye_tilt: float
    iris: float
    brow_distance: float
    brow_width: float
    brow_thickness: float
    brow_arch: float
    nose_y: float
    nose_width: float
    nose_height: float
    mouth_y: float
    mouth_width: float
    upper_lip: float
    lower_lip: float
    cheek: float


@dataclass(frozen=True, kw_only=True)
class Face:
    """Colours and marks of the face."""

    skin: Colour
    lip: Colour
    brow: Colour
    eye: Colour
    beard: str
    freckles: bool
    blush: float
    eye_shadow: Colour | None
    earring: bool


@dataclass(frozen=True, kw_only=True)
class Hair:
    """``line`` is the height of the hairline, ``volume`` the hair's outline relative to the head's."""

    style: str
    colour: Colour
    line: float
    volume: float
    part: float
    length: float
    fringe: bool


@dataclass(frozen=True, kw_only=True)
class Glasses:
    """Frames; ``square`` or round."""

    colour: Colour
    radius: float
    square: bool
    thickness: float


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Clothes, background and light. ``light`` points from the head to the lamp in view space."""

    cloth: np.ndarray
    cloth_pattern: str
    cloth_frequency: float
    neckline: float
    shoulder: float
    background: np.ndarray
    background_pattern: str
    background_frequency: float
    light: np.ndarray
    ambient: float
    light_colour: Colour
    gloss: float


@dataclass(frozen=True, kw_only=True)
class Identity:
    """One avatar. ``texture_seed`` fixes every random texture."""

    shape: Shape
    face: Face
    hair: Hair
    glasses: Glasses | None
    scene: Scene
    texture_seed: int


def _hsv(hue: float, saturation: float, value: float) -> Colour:
    pixel = np.array([[[hue * 360, saturation, value]]], np.float32)
    return cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0]


def _mix(colours: np.ndarray, grey: float) -> np.ndarray:
    """Desaturate by ``grey`` in [0, 1]."""
    return (colours * (1 - grey) + colours.mean(1, keepdims=True) * grey).astype(np.float32)


def sample_identity(rng: Generator) -> Identity:
    """Draw an identity. Most look natural, a few fantastic, so that a model learns to copy, not to guess."""
    face = _sample_face(rng)
    hair, brow = _sample_hair(rng)  # after the face: the order of the draws is what a seed means
    glasses = None
    if rng.random() < 0.22:
        colour = rng.uniform(0, 0.5 if rng.random() < 0.7 else 1.0, 3).astype(np.float32)
        glasses = Glasses(
            colour=colour,
            radius=rng.uniform(0.19, 0.24),
            square=bool(rng.random() < 0.5),
            thickness=rng.uniform(0.018, 0.04),
        )
    return Identity(
        shape=_sample_shape(rng),
        face=replace(face, brow=brow),
        hair=hair,
        glasses=glasses,
        scene=_sample_scene(rng),
        texture_seed=int(rng.integers(2**31)),
    )


def _sample_shape(rng: Generator) -> Shape:
    ranges = {
        "half_width": (0.68, 0.82),
        "depth": (0.75, 0.95),
        "taper": (0.18, 0.42),
        "scale": (0.30, 0.35),
        "eye_y": (-0.04, 0.06),
        "eye_x": (0.27, 0.34),
        "eye_width": (0.115, 0.155),
        "eye_height": (0.045, 0.075),
        "eye_tilt": (-0.15, 0.2),
        "iris": (0.055, 0.072),
        "brow_distance": (0.15, 0.22),
        "brow_width": (0.15, 0.2),
        "brow_thickness": (0.018, 0.045),
        "brow_arch": (0.02, 0.07),
        "nose_y": (0.32, 0.42),
        "nose_width": (0.10, 0.155),
        "nose_height": (0.10, 0.17),
        "mouth_y": (0.56, 0.66),
        "mouth_width": (0.17, 0.25),
        "upper_lip": (0.03, 0.055),
        "lower_lip": (0.04, 0.07),
        "cheek": (0.0, 0.05),
    }
    return Shape(**{name: float(rng.uniform(*limits)) for name, limits in ranges.items()})


def _sample_face(rng: Generator) -> Face:
    """The face with brows as dark skin; their own colour goes with the hair."""
    if rng.random() < 0.85:
        dark = rng.uniform() ** 1.4
        skin = np.array([0.95, 0.76, 0.64]) * (1 - dark) + np.array([0.34, 0.2, 0.13]) * dark
        skin = np.clip(skin + rng.normal(0, 0.03, 3), 0.08, 1).astype(np.float32)
    else:
        skin = _hsv(rng.uniform(), rng.uniform(0.2, 0.6), rng.uniform(0.5, 0.95))
    lipstick = np.array([0.2, 0, 0.02]) if rng.random() < 0.35 else np.zeros(3)
    lip = np.clip(skin * np.array([0.88, 0.55, 0.55]) + rng.normal(0, 0.04, 3) + lipstick, 0, 1)
    shadow = _hsv(rng.uniform(), rng.uniform(0.3, 0.8), rng.uniform(0.2, 0.7))
    return Face(
        skin=skin,
        lip=lip.astype(np.float32),
        brow=skin * np.float32(0.5),
        eye=_hsv(rng.uniform(), rng.uniform(0.3, 0.8), rng.uniform(0.2, 0.75)),
        beard=str(rng.choice(BEARDS)),
        freckles=bool(rng.random() < 0.25),
        blush=float(rng.uniform(0, 0.25)),
        eye_shadow=shadow if rng.random() < 0.25 else None,
        earring=bool(rng.random() < 0.15),
    )


def _sample_hair(rng: Generator) -> tuple[Hair, Colour]:
    """Hair and the colour of the brows, which goes with it."""
    if rng.random() < 0.75:
        colour = _hsv(rng.uniform(0.02, 0.12), rng.uniform(0.2, 0.8), rng.uniform(0.05, 0.8))
    else:
        colour = _hsv(rng.uniform(), rng.uniform(0.2, 0.9), rng.uniform(0.2, 0.95))
    if rng.random() < 0.12:
        colour = np.full(3, rng.uniform(0.55, 0.9), np.float32)
    hair = Hair(
        style=str(rng.choice(HAIR_STYLES)),
        colour=colour,
        line=rng.uniform(-0.62, -0.42),
        volume=rng.uniform(1.06, 1.2),
        part=rng.uniform(-0.5, 0.5),
        length=rng.uniform(0.4, 1.3),
        fringe=bool(rng.random() < 0.3),
    )
    return hair, np.clip(colour * rng.uniform(0.35, 0.8), 0, 0.6).astype(np.float32)


def _sample_scene(rng: Generator) -> Scene:
    return Scene(
        cloth=rng.uniform(0, 1, (2, 3)).astype(np.float32),
        cloth_pattern=str(rng.choice(CLOTH_PATTERNS)),
        cloth_frequency=rng.uniform(6, 26),
        neckline=rng.uniform(0, 0.1),
        shoulder=rng.uniform(0.36, 0.5),
        background=_mix(rng.uniform(0, 1, (2, 3)), rng.uniform(0, 0.9)),
        background_pattern=str(rng.choice(BACKGROUNDS)),
        background_frequency=rng.uniform(2, 14),
        light=np.array([rng.uniform(-1, 1), rng.uniform(-1.1, 0.2), rng.uniform(0.5, 1.3)], np.float32),
        ambient=rng.uniform(0.5, 0.72),
        light_colour=np.clip(1 + rng.normal(0, 0.08, 3), 0.8, 1.15).astype(np.float32),
        gloss=rng.uniform(0, 0.18),
    )
