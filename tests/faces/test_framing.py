"""Portraits of any size and shape in a model's frame, with face and mask in the same pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from model_core.errors import InputError
from model_core.faces.framing import FACE_SHARE, frame_portrait
from model_core.types import FaceTrack

SIZE = (64, 64)


def face_track(size: tuple[int, int], centre: tuple[float, float], height: float) -> FaceTrack:
    """An oval of landmarks of the given height around ``centre`` (x, y)."""
    angle = np.linspace(0, 2 * np.pi, 478, endpoint=False)
    x, y = centre[0] + 0.4 * height * np.cos(angle), centre[1] + 0.5 * height * np.sin(angle)
    marks = np.stack([x, y, 0 * x], axis=1)[None].astype(np.float32)
    box = np.array([[x.min(), y.min(), x.max(), y.max()]], np.float32)
    return FaceTrack(box, marks, np.ones(1, np.float32), np.ones(1, bool), size)


def dot_at(size: tuple[int, int], x: int, y: int) -> torch.Tensor:
    image = torch.full((1, 3, *size), -1.0)
    image[..., y - 2 : y + 3, x - 2 : x + 3] = 1
    return image


def height_of(track: FaceTrack) -> float:
    return float(np.ptp(track.landmarks[0, :, 1]))


@given(
    height=st.integers(80, 300),
    width=st.integers(80, 300),
    x=st.floats(0.3, 0.7),
    y=st.floats(0.3, 0.7),
    share=st.floats(0.1, 0.9),
)
@settings(max_examples=25, deadline=None)
def test_the_face_moves_with_its_pixels(height: int, width: int, x: float, y: float, share: float) -> None:
    """A bright dot under a landmark is still under it after any crop."""
    place = (round(x * width), round(y * height))
    track = face_track((height, width), place, share * min(height, width))
    track.landmarks[0, 0, :2] = np.array(place) + 0.5
    made = frame_portrait(dot_at((height, width), *place), track, size=SIZE)
    assert made.image.shape == (1, 3, *SIZE) and made.track is not None and made.track.size == SIZE
    assume(((made.track.landmarks[0, 0, :2] > 3) & (made.track.landmarks[0, 0, :2] < 61)).all())  # not cut by the edge
    light = (made.image[0, 0] + 1).clamp_min(0)
    rows, columns = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(64) + 0.5, indexing="ij")
    found = torch.stack([(light * columns).sum(), (light * rows).sum()]) / light.sum()
    assert np.abs(found.numpy() - made.track.landmarks[0, 0, :2]).max() < 1.0


def test_a_small_face_is_enlarged_to_the_share_that_models_know() -> None:
    track = face_track((400, 600), (200, 150), 60)
    made = frame_portrait(torch.zeros(1, 3, 400, 600), track, size=SIZE)
    assert made.track is not None
    assert height_of(made.track) == pytest.approx(FACE_SHARE * 64, rel=0.02)


def test_a_face_of_the_right_size_is_left_as_it_is() -> None:
    image = torch.rand(1, 3, 64, 64) * 2 - 1
    track = face_track((64, 64), (32, 30), 32)
    made = frame_portrait(image, track, size=SIZE)
    assert made.track is not None
    assert torch.equal(made.image, image)
    assert np.allclose(made.track.landmarks, track.landmarks)


def test_full_keeps_the_centre_and_face_overrides() -> None:
    track = face_track((400, 600), (100, 100), 60)
    image = dot_at((400, 600), 300, 200)
    full = frame_portrait(image, track, size=SIZE, framing="full")
    assert full.image[0, 0, 30:34, 30:34].max() > -0.6  # the image's centre is the frame's
    face = frame_portrait(image, track, size=SIZE, framing="face")
    assert face.image.max() < -0.9  # the dot lies outside the crop


def test_the_mask_goes_through_the_same_crop() -> None:
    track = face_track((200, 300), (150, 100), 40)
    mask = torch.zeros(1, 1, 200, 300)
    mask[..., 90:110, 140:160] = 1
    made = frame_portrait(mask.expand(-1, 3, -1, -1) * 2 - 1, track, size=SIZE, foreground=mask)
    assert made.foreground is not None
    assert ((made.image[:, :1] + 1) / 2 - made.foreground).abs().max() < 0.05


def test_without_a_face_only_full_is_possible() -> None:
    image = torch.zeros(1, 3, 100, 80)
    assert frame_portrait(image, None, size=SIZE).track is None
    with pytest.raises(InputError, match="needs the portrait's face"):
        frame_portrait(image, None, size=SIZE, framing="face")
