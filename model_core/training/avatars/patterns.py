"""Procedural textures: noise of several octaves, and the patterns of clothes and backgrounds."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator


def octaves(rng: Generator, size: int, *, count: int, channels: int, base: int) -> np.ndarray:
    """Smooth noise of about unit deviation, (size, size, channels) float32.

    Args:
        count: octaves, each twice as fine and 0.55 times as strong as the one before.
        base: cells along a side of the coarsest octave.
    """
    out = np.zeros((size, size, channels), np.float32)
    amplitude = 1.0
    for octave in range(count):
        cells = min(base * 2**octave, size)
        grid = rng.normal(0, 1, (cells, cells, channels)).astype(np.float32)
        fine = cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC)
        out += amplitude * fine.reshape(size, size, channels)
        amplitude *= 0.55
    return out / 1.4


def pattern(rng: Generator, size: int, kind: str, colours: np.ndarray, frequency: float) -> np.ndarray:
    """A two-coloured pattern, (size, size, 3) float32 in [0, 1], with a little noise over it.

    Args:
        kind: one of ``identity.CLOTH_PATTERNS`` or ``identity.BACKGROUNDS``.
        colours: (2, 3).
        frequency: repeats along a side.
    """
    if kind == "plain":
        kind, colours, frequency = "noise", np.stack([colours[0], colours[0] * 0.92]), 4
    grain = octaves(rng, size, count=5, channels=3, base=4)
    share = _share(rng, size, kind, frequency)
    share = cv2.GaussianBlur(share.astype(np.float32), (0, 0), 0.7)[..., None]
    mixed = colours[0] * share + colours[1] * (1 - share) + 0.05 * grain
    return np.clip(mixed, 0, 1).astype(np.float32)


def _share(rng: Generator, size: int, kind: str, frequency: float) -> np.ndarray:
    """Share of the first colour, (size, size)."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    angle = rng.uniform(0, np.pi)
    across, along = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    rows = np.sin(along * frequency * 2 * np.pi) > 0
    columns = np.sin(across * frequency * 2 * np.pi) > 0
    if kind == "stripes":
        return rows
    if kind == "vstripes":
        return columns
    if kind == "check":
        return rows ^ columns
    if kind == "dots":
        return (np.mod(across * frequency, 1) - 0.5) ** 2 + (np.mod(along * frequency, 1) - 0.5) ** 2 < 0.07
    if kind == "gradient":
        return along
    if kind == "blobs":
        noise = octaves(rng, size, count=2, channels=1, base=int(max(frequency, 3)))
        return np.clip(noise[..., 0] * 3 + 0.5, 0, 1)
    noise = octaves(rng, size, count=5, channels=1, base=int(max(frequency / 2, 2)))
    return np.clip(noise[..., 0] * 0.6 + 0.5, 0, 1)
