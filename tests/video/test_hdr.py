"""10-bit and HDR video: read as a screen shows it, against the standards' own figures."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from model_core.video.hdr import _PQ, _light_of_levels
from model_core.video.read import read_video

PQ, HLG, BT709 = 16, 18, 1


def ten_bit(path: Path, levels: np.ndarray, transfer: int) -> Path:
    """One 10-bit frame of grey: ``levels`` (H, W) in [0, 1] of the full signal."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=Fraction(25))
        stream.height, stream.width = levels.shape
        stream.pix_fmt = "yuv420p10le"
        context = stream.codec_context
        context.color_trc, context.color_range = transfer, 1
        context.colorspace = context.color_primaries = 9 if transfer != BT709 else 1
        frame = av.VideoFrame(levels.shape[1], levels.shape[0], "yuv420p10le")
        grey = np.full((levels.shape[0] // 2, levels.shape[1] // 2), 512, np.uint16)
        for plane, values in zip(frame.planes, (64 + levels * 876, grey, grey), strict=True):
            rows = np.zeros((plane.height, plane.line_size // 2), np.uint16)
            rows[:, : plane.width] = values.round()
            plane.update(rows.tobytes())
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def shown(path: Path, level: float, transfer: int) -> int:
    """The 8-bit grey that a uniform signal is read as."""
    pixels = read_video(ten_bit(path, np.full((32, 32), level), transfer))[0]
    assert np.ptp(pixels) <= 2
    return int(pixels.mean().round())


def test_ten_bits_without_hdr_are_read_as_they_are(tmp_path):
    for level in (0.0, 0.25, 0.5, 1.0):
        assert shown(tmp_path / "a.mkv", level, BT709) == pytest.approx(255 * level, abs=2)


@pytest.mark.parametrize(("transfer", "white"), [(PQ, 0.58), (HLG, 0.75)])
def test_hdr_keeps_white_bright_grey_between_and_the_order(tmp_path, transfer, white):
    """Reference white (203 cd/m2, BT.2408) is 58 % PQ and 75 % HLG; plain conversion would make it 148 or 191."""
    made = [shown(tmp_path / "a.mkv", level, transfer) for level in (0.0, white / 2, white, 0.9, 1.0)]
    assert made == sorted(made) and made[0] <= 2 and made[-1] >= 252
    assert made[2] >= 235


def test_the_curve_is_the_standards():
    """BT.2100, PQ: signal 0.5081 is 100 cd/m2, 0.7518 is 1,000; light is counted in whites of 203."""
    light = _light_of_levels(_PQ)
    assert light[round(0.5081 * 65535)] * 203 == pytest.approx(100, rel=0.01)
    assert light[round(0.7518 * 65535)] * 203 == pytest.approx(1000, rel=0.01)
