from __future__ import annotations

import numpy as np
import pytest

from model_core.motion.components import CORNERS, LEFT_IRIS_CENTRE, RIGHT_IRIS_CENTRE, RINGS
from model_core.types import Component
from model_core.warp.eyes import Eyeball

from .conftest import SIZE, canvas_of

EYES = [
    (Component.LEFT_EYE, Component.LEFT_IRIS, LEFT_IRIS_CENTRE),
    (Component.RIGHT_EYE, Component.RIGHT_IRIS, RIGHT_IRIS_CENTRE),
]


def shown(eyeball: Eyeball, target: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Where a point of the frame lies in the portrait, by what the picture of places shows there."""
    frame, validity = np.zeros((SIZE, SIZE, 3), np.uint8), np.zeros((SIZE, SIZE), np.float32)
    eyeball.paint(canvas_of(frame, validity), target[None, :, :2])
    x, y = np.floor(point).astype(int)
    return frame[y, x, :2].astype(float) + point - np.floor(point)


def made(picture: np.ndarray, portrait: np.ndarray, eye: Component) -> Eyeball:
    eyeball = Eyeball.of(picture, portrait, eye)
    assert eyeball is not None
    return eyeball


@pytest.mark.parametrize(("eye", "iris", "centre"), EYES)
@pytest.mark.parametrize("way", [(3.0, 0.0), (-3.0, 0.5)])
def test_the_iris_goes_where_its_landmarks_go_and_the_corners_stay(
    picture: np.ndarray, portrait: np.ndarray, eye: Component, iris: Component, centre: int, way: tuple[float, float]
) -> None:
    eyeball, target = made(picture, portrait, eye), portrait.copy()
    members = [centre, *RINGS[iris]]
    target[members, :2] += way
    np.testing.assert_allclose(shown(eyeball, target, target[centre, :2]), portrait[centre, :2], atol=0.8)
    corners = portrait[list(CORNERS[eye]), :2]
    far = corners[
        np.argmax(np.linalg.norm(corners - target[centre, :2], axis=1))
    ]  # the white there nearly keeps its place
    point = far + 0.25 * (corners.sum(axis=0) - 2 * far)
    np.testing.assert_allclose(shown(eyeball, target, point), point, atol=2.0)  # the iris itself has moved by 3


@pytest.mark.parametrize(("eye", "iris", "centre"), EYES)
def test_an_eye_moves_and_grows_with_its_corners(
    picture: np.ndarray, portrait: np.ndarray, eye: Component, iris: Component, centre: int
) -> None:
    eyeball, shift = made(picture, portrait, eye), np.array([12.0, -7.0])
    target = portrait.copy()
    target[:, :2] = (portrait[:, :2] - SIZE / 2) * 1.2 + SIZE / 2 + shift
    inner, outer = (target[corner, :2] for corner in CORNERS[eye])
    for point in (target[centre, :2], inner + 0.35 * (outer - inner)):
        own = (point - SIZE / 2 - shift) / 1.2 + SIZE / 2
        np.testing.assert_allclose(shown(eyeball, target, point), own, atol=0.9)


def test_an_eye_outside_the_picture_or_the_frame_shows_nothing(picture: np.ndarray, portrait: np.ndarray) -> None:
    assert Eyeball.of(picture, portrait + (0.0, 900.0, 0.0), Component.LEFT_EYE) is None
    frame, validity = np.zeros((SIZE, SIZE, 3), np.uint8), np.zeros((SIZE, SIZE), np.float32)
    away = portrait + (0.0, 900.0, 0.0)
    made(picture, portrait, Component.LEFT_EYE).paint(canvas_of(frame, validity), away[None, :, :2])
    assert not frame.any() and not validity.any()
