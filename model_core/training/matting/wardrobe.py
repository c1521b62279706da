"""What rendered heads lack: big hair, loose strands, hats, hoods, coats, hands. Drawn flat, in any texture.

They are no pictures of hats; they teach that whatever sits on a head or hangs from its shoulders is the person, and
where it ends. Every function draws an alpha over a canvas on which the face is known.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

_TURN = np.linspace(0, 2 * np.pi, 96, endpoint=False)
_SHIFT = 4  # bits of sub-pixel position handed to OpenCV


@dataclass(frozen=True)
class Sitter:
    """Where a head is on its canvas.

    Attributes:
        size: (H, W) of the canvas.
        points: (478, 2) landmarks in its pixels.
        middle: (2,) of the face.
        width, height: of the face in pixels.
    """

    size: tuple[int, int]
    points: np.ndarray
    middle: np.ndarray
    width: float
    height: float

    @classmethod
    def of(cls, size: tuple[int, int], points: np.ndarray) -> Sitter:
        low, high = points.min(axis=0), points.max(axis=0)
        width, height = (float(length) for length in high - low)
        return cls(size, points, (low + high) / 2, width, height)

    def place(self, shape: np.ndarray) -> np.ndarray:
        """Points (n, 2) in widths and heights of the face from its middle, as pixels."""
        return self.middle + shape * (self.width, self.height)

    def filled(self, *shapes: np.ndarray) -> np.ndarray:
        """(H, W) float32 in [0, 1], polygons in units of ``place`` with smooth edges."""
        canvas = np.zeros(self.size, np.uint8)
        for shape in shapes:
            fixed = np.rint(self.place(shape).clip(-2000, 2000) * (1 << _SHIFT)).astype(np.int32)
            cv2.fillPoly(canvas, [fixed], (255,), cv2.LINE_AA, _SHIFT)
        return canvas.astype(np.float32) / 255

    def face(self, grown: float = 1.0) -> np.ndarray:
        """(H, W) float32, the face's outline filled, grown from its middle."""
        hull = cv2.convexHull(self.points.astype(np.float32))[:, 0]
        return self.filled((hull - self.middle) * grown / (self.width, self.height))


def big_hair(random: Generator, sitter: Sitter) -> np.ndarray:
    """A mass of hair around face and neck, with a fuzzy edge: curls, or long hair falling to the shoulders."""
    wide, tall = random.uniform(0.75, 1.5), random.uniform(0.75, 1.35)
    centre = np.array([random.normal(0, 0.08), -0.25])
    waves = [random.normal(0, 0.05) * np.cos(k * _TURN + random.uniform(0, 6.3)) for k in range(1, 9)]
    wobble = 1 + np.sum(waves, axis=0)
    shape = centre + np.stack([np.cos(_TURN) * wide, np.sin(_TURN) * tall * 0.85], axis=1) * wobble[:, None]
    if random.random() < 0.4:  # straight down instead of round
        lower = shape[:, 1] > 0
        shape[lower, 1] *= random.uniform(1.0, 1.6)
        shape[lower, 0] = np.sign(shape[lower, 0]) * np.maximum(abs(shape[lower, 0]), 0.55)
    fuzz = random.uniform(0.01, 0.09) * sitter.width
    mass = cv2.GaussianBlur(sitter.filled(shape), (0, 0), max(fuzz, 0.5))
    ragged = noise(random, sitter.size, max(random.uniform(0.02, 0.06) * sitter.width, 1.2))
    edge = (mass - 0.5) * random.uniform(2.0, 5.0) + random.uniform(0, 0.5) * ragged * (mass > 0.02)
    mass = np.clip(edge + 0.5, 0, 1)
    neck = sitter.filled(np.array([(-0.3, 0.2), (0.3, 0.2), (0.4, 3.0), (-0.4, 3.0)]))
    return mass * (1 - sitter.face(random.uniform(0.93, 1.05))) * (1 - neck)


def strands(random: Generator, sitter: Sitter, person: np.ndarray) -> np.ndarray:
    """Single hairs that leave the head, most of them one way.

    Args:
        person: (H, W) alpha that they grow out of.
    """
    rows = int(np.clip(sitter.middle[1] + 0.6 * sitter.height, 1, sitter.size[0]))
    edges, _ = cv2.findContours((person[:rows] > 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    canvas = np.zeros(sitter.size, np.uint8)
    if not edges:
        return canvas.astype(np.float32)
    outline = max(edges, key=len)[:, 0].astype(np.float64)
    wind, alike = random.uniform(0, 2 * np.pi), random.random()
    along = np.linspace(0, 1, 10)[:, None]
    for _ in range(int(random.integers(10, 90))):
        root = outline[random.integers(len(outline))]
        away = (root - sitter.middle) / max(float(np.linalg.norm(root - sitter.middle)), 1.0)
        blown = np.array([np.cos(wind), np.sin(wind)])
        way = away + 0.6 * alike * (blown - away) + random.normal(0, 0.35, 2)
        bend = random.normal(0, 0.5, 2)
        length = random.gamma(2.0, 0.12) * sitter.width
        line = root - way * 3 + length * (along * way + along**2 * bend)
        fixed = np.rint(line * (1 << _SHIFT)).astype(np.int32)
        cv2.polylines(canvas, [fixed], False, (int(random.integers(70, 255)),), 1, cv2.LINE_AA, _SHIFT)
    return canvas.astype(np.float32) / 255


def hat(random: Generator, sitter: Sitter) -> np.ndarray:
    """A hat with a brim, a cap, a beanie or a turban: covers the hair from the brows or the hairline up."""
    edge = random.uniform(-0.52, -0.28)
    half, tall = random.uniform(0.6, 0.8), random.uniform(0.4, 0.95)
    power = random.uniform(0.4, 1.0)  # from a box to an ellipse
    turn = np.linspace(np.pi, 2 * np.pi, 40)
    crown = np.stack([_powered(np.cos(turn), power) * half, edge + _powered(np.sin(turn), power) * tall], axis=1)
    crown[:, 0] += random.normal(0, 0.05) * (edge - crown[:, 1])
    shapes = [crown, _ellipse((0, edge), (half, random.uniform(0.02, 0.1)))]
    kind = random.random()
    if kind < 0.4:
        brim = random.uniform(1.0, 1.7), random.uniform(0.05, 0.25)
        shapes.append(_ellipse((0, edge + random.normal(0, 0.03)), brim))
    elif kind < 0.65:
        visor = random.uniform(-0.6, 0.6)
        shapes.append(_ellipse((visor, edge), (random.uniform(0.45, 0.75), random.uniform(0.05, 0.16))))
    roll = random.normal(0, 0.1)
    tilt = np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
    return sitter.filled(*[shape @ tilt for shape in shapes])


def hood(random: Generator, sitter: Sitter) -> np.ndarray:
    """A hood, a shawl or a hijab: a ring around the face that falls onto the shoulders."""
    wide, tall = random.uniform(0.72, 1.15), random.uniform(0.75, 1.1)
    outer = _ellipse((random.normal(0, 0.05), -0.1), (wide, tall))
    drop = random.uniform(0.6, 1.6)
    right, left = wide * random.uniform(0.9, 1.7, 2)
    skirt = np.array([(-wide, 0.0), (wide, 0.0), (right, drop), (-left, drop)])
    opening = sitter.face(random.uniform(0.85, 1.02))
    if random.random() < 0.4:  # open at the neck
        opening = np.maximum(opening, sitter.filled(np.array([(-0.3, 0.3), (0.3, 0.3), (0.15, drop), (-0.15, drop)])))
    return sitter.filled(outer, skirt) * (1 - opening)


def coat(random: Generator, sitter: Sitter) -> np.ndarray:
    """Shoulders, chest and a neckline; wide enough to cover those of the rendered head down to the canvas's edge."""
    shapes = []
    for side in (-1, 1):
        neck, shoulder = random.uniform(0.3, 0.55), random.uniform(1.25, 1.75)
        up, down = random.uniform(0.5, 0.72), random.uniform(0.85, 1.0)
        sleeve = shoulder + random.uniform(-0.05, 0.5)
        throat = random.uniform(0.62, 0.9) if random.random() < 0.5 else up + 0.12
        half = [
            (0, throat),
            (neck, up),
            (neck + 0.25 * shoulder, up + 0.1),
            (shoulder, down),
            (sleeve, 2.0),
            (sleeve, 9),
            (0, 9),
        ]
        shapes.append(np.array(half) * (side, 1))
    return sitter.filled(*shapes)


def hand(random: Generator, sitter: Sitter) -> np.ndarray:
    """A forearm that comes up to the face, and a fist at its end."""
    start = np.array([random.uniform(-1.6, 1.6), random.uniform(1.3, 2.5)])
    end = np.array([random.choice((-1, 1)) * random.uniform(0.1, 0.8), random.uniform(0.0, 0.7)])
    canvas = np.zeros(sitter.size, np.uint8)
    ends = [tuple(int(v) for v in place.clip(-2000, 2000)) for place in sitter.place(np.stack([start, end]))]
    thick = random.uniform(0.2, 0.38) * sitter.width
    cv2.line(canvas, ends[0], ends[1], (255,), max(int(thick), 1), cv2.LINE_AA)
    for _ in range(4):
        finger = sitter.place((end + random.normal(0, 0.1, 2) - (0, 0.12))[None])[0]
        cv2.line(canvas, ends[1], tuple(int(v) for v in finger), (255,), max(int(0.3 * thick), 1), cv2.LINE_AA)
    return canvas.astype(np.float32) / 255


def noise(random: Generator, size: tuple[int, int], scale: float) -> np.ndarray:
    """(H, W) float32 of unit deviation, features of ``scale`` pixels."""
    height, width = size
    small = random.normal(size=(int(height / scale) + 4, int(width / scale) + 4)).astype(np.float32)
    large = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(large / max(float(large.std()), 1e-6))


def _ellipse(centre: tuple[float, float], radii: tuple[float, float]) -> np.ndarray:
    return np.array(centre) + np.stack([np.cos(_TURN), np.sin(_TURN)], axis=1) * radii


def _powered(values: np.ndarray, power: float) -> np.ndarray:
    return np.asarray(np.sign(values) * np.abs(values) ** power)
