"""High dynamic range to the range of a screen: what phones and cameras record as HDR10 or HLG.

FFmpeg's plain conversion to 8 bits keeps the numbers and loses their meaning: faces turn grey and flat. Here
light is recovered, what is brighter than white is rolled off, and the colours go from BT.2020 to BT.709.
Source: ITU-R BT.2100-2 (both transfer functions), BT.2087-0 (the matrix), BT.2408 (203 cd/m2 as white).
"""

from __future__ import annotations

from functools import cache

import av
import numpy as np

_PQ, _HLG = 16, 18
HDR_TRANSFERS = frozenset({_PQ, _HLG})
"""The transfer characteristics (ITU-T H.273) of HDR10 and HLG."""

_WHITE = 203.0
_HLG_PEAK = 1000.0
_KNEE = 0.8
_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], dtype=np.float32
)


def tone_mapped(frame: av.VideoFrame) -> np.ndarray:
    """An HDR frame as (H, W, 3) uint8 RGB as a screen shows it."""
    levels = frame.to_ndarray(format="rgb48le")
    light = _light_of_levels(frame.color_trc)[levels]
    if frame.color_trc == _HLG:  # scene light to that of a 1,000 cd/m2 screen (BT.2100, system gamma 1.2)
        luminance = light @ np.array((0.2627, 0.6780, 0.0593), dtype=np.float32)
        light *= np.maximum(luminance, 1e-6)[..., None] ** 0.2 * (_HLG_PEAK / _WHITE)
    made = np.maximum(light @ _TO_BT709.T, 0.0)
    # the brightest channel is rolled off and takes the others with it: the hue stays
    peak = np.maximum(made.max(axis=-1, keepdims=True), 1e-6)
    made *= _rolled_off(peak) / peak
    return _display_levels()[(made.clip(0.0, 1.0) * 4095.0 + 0.5).astype(np.uint16)]


def _rolled_off(light: np.ndarray) -> np.ndarray:
    """Up to the knee as it is, above it ever slower, never above 1."""
    over = np.maximum(light - _KNEE, 0.0)
    room = 1.0 - _KNEE
    return np.minimum(light, _KNEE) + room * over / (over + room)


@cache
def _light_of_levels(transfer: int) -> np.ndarray:
    """(65536,) float32: light of every 16-bit level, 1 at white (HLG: of the scene, 1 at its peak)."""
    value = np.arange(65536, dtype=np.float64) / 65535.0
    if transfer == _PQ:
        root = value ** (1 / 78.84375)
        light = (np.maximum(root - 0.8359375, 0.0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125)
        return (light * 10000.0 / _WHITE).astype(np.float32)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(value <= 0.5, value**2 / 3.0, (np.exp((value - c) / a) + b) / 12.0).astype(np.float32)


@cache
def _display_levels() -> np.ndarray:
    """(4096,) uint8: the level of every amount of light, by sRGB's curve."""
    light = np.arange(4096) / 4095.0
    value = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return (value * 255.0).round().astype(np.uint8)
