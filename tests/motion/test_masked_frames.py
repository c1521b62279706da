from __future__ import annotations

import numpy as np
import pytest
import torch

from model_core.errors import InputError
from model_core.motion.alignment import placement, warp
from model_core.motion.components import RINGS
from model_core.motion.masked_frames import masked_frames_signal, region_mask
from model_core.types import Component, FaceTrack


@pytest.fixture(scope="module")
def track(face: np.ndarray) -> FaceTrack:
    return FaceTrack(
        boxes=np.zeros((2, 4), np.float32),
        landmarks=np.stack([face, face + np.float32([5, 5, 0])]),
        confidence=np.ones(2, np.float32),
        detected=np.ones(2, bool),
        size=(256, 256),
    )


def at(picture: np.ndarray, x: float, y: float) -> float:
    return float(picture[int(y), int(x)])


def test_only_eyes_nose_and_mouth_show(face: np.ndarray) -> None:
    mask = region_mask(face, source_size=(256, 256), size=(256, 256))
    assert mask.dtype == np.float32 and mask.min() == 0 and mask.max() == 1
    for component in (Component.LEFT_EYE, Component.RIGHT_EYE, Component.NOSE, Component.INNER_MOUTH):
        assert at(mask, *face[RINGS[component], :2].mean(axis=0)) == 1
    for hidden in ((128, 70), (75, 150), (181, 150), (128, 215), (5, 5)):  # forehead, cheeks, chin, background
        assert at(mask, *hidden) == 0
    assert 0.03 < mask.mean() < 0.2


def test_brows_show_on_request(face: np.ndarray) -> None:
    place = face[RINGS[Component.LEFT_BROW], :2].mean(axis=0)
    hard = {"source_size": (256, 256), "size": (256, 256), "grow": 0.0, "feather": 0.0}
    assert at(region_mask(face, **hard), *place) == 0
    assert at(region_mask(face, **hard, brows=True), *place) == 1


def test_growing_and_feathering(face: np.ndarray) -> None:
    sizes = {"source_size": (256, 256), "size": (256, 256)}
    hard = region_mask(face, **sizes, grow=0.0, feather=0.0)
    grown = region_mask(face, **sizes, grow=0.2, feather=0.0)
    soft = region_mask(face, **sizes, grow=0.2, feather=0.05)
    assert set(np.unique(hard)) == set(np.unique(grown)) == {0.0, 1.0}
    assert (grown >= hard).all() and grown.sum() > 1.3 * hard.sum()
    assert ((soft > 0.05) & (soft < 0.95)).any()


def test_the_regions_do_not_depend_on_the_resolution(face: np.ndarray) -> None:
    shares = [region_mask(face, source_size=(256, 256), size=(n, n)).mean() for n in (128, 256, 512)]
    assert np.ptp(shares) < 0.2 * np.mean(shares)


def test_the_signal_shows_the_frames_there_and_black_elsewhere(track: FaceTrack) -> None:
    frames = torch.rand(2, 3, 256, 256) * 2 - 1
    signal = masked_frames_signal(frames, track, size=(256, 256))
    assert signal.kind == "masked_frames" and signal.frames.shape == (2, 3, 256, 256)
    mask = torch.from_numpy(region_mask(track.landmarks[1], source_size=(256, 256), size=(256, 256)))
    torch.testing.assert_close(signal.frames[1], (frames[1] + 1) / 2 * mask)
    small = masked_frames_signal(frames, track, size=(64, 96))
    assert small.frames.shape == (2, 3, 64, 96)
    assert 0.0 <= float(small.frames.min()) and float(small.frames.max()) <= 1.0


def test_what_does_not_belong_together_is_named(track: FaceTrack) -> None:
    with pytest.raises(InputError, match="3 frames"):
        masked_frames_signal(torch.zeros(3, 3, 256, 256), track, size=(64, 64))
    with pytest.raises(InputError, match="analyse the very frames"):
        masked_frames_signal(torch.zeros(2, 3, 128, 256), track, size=(64, 64))
    with pytest.raises(InputError, match="NaN"):
        masked_frames_signal(torch.full((2, 3, 256, 256), torch.nan), track, size=(64, 64))


def places(height: int, width: int) -> torch.Tensor:
    """A frame whose red and green say where a pixel is: its place as a share of width and height."""
    rows, columns = torch.meshgrid(
        (torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width, indexing="ij"
    )
    return torch.stack([columns, rows, torch.ones_like(rows)])[None] * 2 - 1


@pytest.mark.parametrize("mode", ["relative", "absolute"])
@pytest.mark.parametrize("scale", [0.4, 1.0, 2.3])
def test_pixels_move_with_the_landmarks(face: np.ndarray, track: FaceTrack, mode: str, scale: float) -> None:
    """At every landmark of an eye or the mouth, the placed frame shows what the driving frame shows there."""
    reference = FaceTrack(
        boxes=np.zeros((1, 4), np.float32),
        landmarks=face[None] * np.float32(scale) + np.float32([20, 11, 0]),
        confidence=np.ones(1, np.float32),
        detected=np.ones(1, bool),
        size=(round(300 * scale), round(340 * scale)),
    )
    size = (240, 272)
    place = placement(track, reference, mode=mode)
    placed = place.track(track)
    frames = places(256, 256).expand(2, -1, -1, -1)
    signal = masked_frames_signal(frames, track, size=size, place=place)
    assert signal.frames.shape == (2, 3, *size)
    points = [index for c in (Component.LEFT_EYE, Component.INNER_MOUTH) for index in RINGS[c]]
    stretch = size[1] / reference.size[1], size[0] / reference.size[0]
    for frame in (0, 1):
        for index in points:
            x, y = (placed.landmarks[frame, index, :2] * stretch).tolist()
            shown = signal.frames[frame, :, int(y), int(x)]
            assert shown[2] == pytest.approx(1, abs=0.02)  # not masked
            expected = track.landmarks[frame, index, :2] / 256
            assert shown[:2].tolist() == pytest.approx(expected.tolist(), abs=0.012)


def test_beyond_the_driving_frame_it_is_black(face: np.ndarray, track: FaceTrack) -> None:
    """A driver whose mouth leaves the frame: nothing is known of what is not in it."""
    low = FaceTrack(track.boxes, track.landmarks + np.float32([0, 70, 0]), track.confidence, track.detected, (256, 256))
    reference = FaceTrack(track.boxes[:1], face[None], track.confidence[:1], track.detected[:1], (256, 256))
    signal = masked_frames_signal(
        torch.ones(2, 3, 256, 256), low, size=(256, 256), place=placement(low, reference, mode="relative")
    )
    assert signal.frames[0, :, 110, 98].min() > 0.9  # the eye
    assert signal.frames[0, :, 188:].max() == 0  # the frame ended at 186


def test_a_frame_that_stays_is_not_resampled(track: FaceTrack) -> None:
    frames = torch.rand(2, 3, 256, 256) * 2 - 1
    own = placement(track, track.take([0]), mode="relative")
    torch.testing.assert_close(warp(frames, own, size=(256, 256)), frames, atol=2e-3, rtol=0)
