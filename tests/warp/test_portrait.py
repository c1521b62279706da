from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from model_core.motion.components import RINGS
from model_core.motion.expressions import expression_names, expression_offsets, neutral_face
from model_core.types import Component
from model_core.warp import PortraitLayers

from .conftest import FACE, SIZE, placed

WHITE_OF_THE_EYE = (250, 250, 255)


def person_of(landmarks: np.ndarray) -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), np.uint8)
    middle = landmarks[RINGS[Component.FACE], :2].mean(axis=0)
    cv2.circle(mask, tuple(np.rint(middle).astype(int).tolist()), 85, (1,), cv2.FILLED)
    return mask.astype(np.float32)


def expressed(**coefficients: float) -> np.ndarray:
    values = np.zeros((1, len(expression_names())), np.float32)
    for name, value in coefficients.items():
        values[0, expression_names().index(name)] = value
    return placed(neutral_face() + expression_offsets(values)[0])


@pytest.fixture(scope="module")
def layers(picture: np.ndarray, portrait: np.ndarray) -> PortraitLayers:
    return PortraitLayers.of(picture, portrait, person_of(portrait))


def shut(landmarks: np.ndarray) -> np.ndarray:
    """The same face with its lids closed."""
    made = landmarks.copy()
    for eye in (Component.LEFT_EYE, Component.RIGHT_EYE):
        ring = RINGS[eye]
        half = len(ring) // 2
        made[ring[:half:-1]] = made[ring[1:half]]
    return made


def test_at_rest_the_portrait_is_left_alone(layers: PortraitLayers, portrait: np.ndarray, picture: np.ndarray) -> None:
    made = layers.carry(portrait[None])
    assert made.frames.shape == (1, SIZE, SIZE, 3) and made.frames.dtype == np.uint8
    apart = np.abs(made.frames[0].astype(int) - picture)
    assert np.percentile(apart, 99) <= 1 and apart.mean() < 0.2
    eyes = np.zeros((SIZE, SIZE), np.uint8)  # behind their edges eyeballs are continued
    cv2.fillPoly(eyes, [np.rint(portrait[RINGS[c], :2]).astype(np.int32) for c in list(RINGS)[2:4]], (1,))
    assert made.validity[0][eyes == 0].min() > 0.0
    assert made.validity.mean() > 0.98


def test_what_moves_moves_with_its_landmarks(layers: PortraitLayers, portrait: np.ndarray) -> None:
    target = portrait + (9.0, -5.0, 0.0)
    made = layers.carry(target[None]).frames[0]
    x, y = target[4, :2].astype(int)  # the picture says where its pixels were
    assert abs(int(made[y, x, 0]) - (x - 9)) <= 1
    assert abs(int(made[y, x, 1]) - (y + 5)) <= 1


def test_closed_lids_leave_no_pixel_of_the_eyeball(portrait: np.ndarray, picture: np.ndarray) -> None:
    image = picture.copy()
    image[..., 2] = 40
    rings = [portrait[RINGS[eye], :2] for eye in (Component.LEFT_EYE, Component.RIGHT_EYE)]
    cv2.fillPoly(image, [np.rint(ring).astype(np.int32) for ring in rings], WHITE_OF_THE_EYE)
    layers = PortraitLayers.of(image, portrait, person_of(portrait))
    opened, closed = (layers.carry(face[None]).frames[0][..., 2] for face in (portrait, shut(portrait)))
    low, high = np.floor(np.concatenate(rings).min(0)).astype(int), np.ceil(np.concatenate(rings).max(0)).astype(int)
    part = (slice(low[1], high[1]), slice(low[0], high[0]))
    assert (opened[part] > 200).sum() > 100
    # what is left is a line as thin as the lashes
    assert (closed[part] > 200).sum() < 0.15 * (opened[part] > 200).sum()


def test_an_opened_mouth_is_dark_and_not_valid(layers: PortraitLayers) -> None:
    target = expressed(jawOpen=0.9)
    made = layers.carry(target[None])
    inside = np.zeros((SIZE, SIZE), np.uint8)
    cv2.fillPoly(inside, [np.rint(target[RINGS[Component.INNER_MOUTH], :2]).astype(np.int32)], (1,))
    inside = cv2.erode(inside, np.ones((5, 5), np.uint8))
    assert inside.sum() > 150
    assert made.validity[0][inside > 0].max() < 0.05
    assert made.frames[0][inside > 0].mean() < 80


def test_the_teeth_of_an_open_mouth_stay_on_the_skull(picture: np.ndarray) -> None:
    opened = expressed(jawOpen=0.8)
    image = np.full((SIZE, SIZE, 3), 120, np.uint8)
    outline = np.rint(opened[RINGS[Component.INNER_MOUTH], :2]).astype(np.int32)
    cv2.fillPoly(image, [outline], (20, 10, 10))
    top = outline[:, 1].min()
    x = int(opened[13, 0])
    cv2.rectangle(image, (x - 6, int(top) + 4), (x + 6, int(top) + 9), (240, 240, 240), cv2.FILLED)
    layers = PortraitLayers.of(image, opened, person_of(opened))
    half = layers.carry(expressed(jawOpen=0.5)[None]).frames[0]
    rows = np.flatnonzero(half[:, x, 0] > 180)
    assert abs(rows.mean() - (top + 6.5)) < 2.5  # the lower lip has come up, the teeth have not
    closed = layers.carry(placed(neutral_face())[None]).frames[0]
    assert (closed[:, x, 0] > 180).sum() <= 1


def test_the_teeth_of_a_smile_keep_their_height_when_the_jaw_drops(picture: np.ndarray) -> None:
    smiling = expressed(jawOpen=0.25)
    image = np.full((SIZE, SIZE, 3), 120, np.uint8)
    cv2.fillPoly(image, [np.rint(smiling[RINGS[Component.INNER_MOUTH], :2]).astype(np.int32)], (240, 240, 240))
    layers = PortraitLayers.of(image, smiling, person_of(smiling))
    made = layers.carry(expressed(jawOpen=0.9)[None])
    x = int(smiling[13, 0])
    middle = int(expressed(jawOpen=0.9)[[13, 14], 1].mean())  # above it the lower lip does not shine
    before = np.flatnonzero(image[:, x, 0] > 190)
    after = np.flatnonzero(made.frames[0][:middle, x, 0] > 190)
    assert len(before) > 5 and abs(len(after) - len(before)) <= 2
    below = slice(after.max() + 4, after.max() + 10)
    assert made.frames[0][below, x].max() < 80 and made.validity[0][below, x].max() < 0.1


def test_what_a_moving_head_uncovers_has_no_validity(picture: np.ndarray, portrait: np.ndarray) -> None:
    person = person_of(portrait)
    layers = PortraitLayers.of(picture, portrait, person)
    made = layers.carry((portrait + (0.0, 30.0, 0.0))[None])
    top = int(np.flatnonzero(person[:, SIZE // 2])[0])
    uncovered = made.validity[0][top + 8 : top + 12, SIZE // 2 - 5 : SIZE // 2 + 5]
    assert uncovered.mean() < 0.7
    assert made.validity[0][:, :5].min() > 0.95  # far away nothing happens
    np.testing.assert_array_equal(made.frames[0][:, :5], picture[:, :5])


def test_the_border_does_not_smear_inwards(portrait: np.ndarray) -> None:
    """A hat that the frame cuts off stays cut off: stripes there are stretched, not one of them repeated."""
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    image[::2] = 255
    high = portrait - (0.0, 30.0, 0.0)
    layers = PortraitLayers.of(image, high, np.ones((SIZE, SIZE), np.float32))
    made = layers.carry((high + (0.0, 20.0, 0.0))[None]).frames[0]
    column = made[:24, SIZE // 2, 0].astype(int)
    assert (np.abs(np.diff(column)) > 40).sum() > 6


@pytest.mark.parametrize("yaw", [-0.75, 0.75])
def test_behind_the_cheek_of_a_head_that_turns_away_there_is_no_second_cheek(yaw: float) -> None:
    """The oval is hidden there: what lies around the face begins where the face is seen to end."""
    held, away = placed(neutral_face(), (0, yaw, 0)), placed(neutral_face(), (0, 1.3 * yaw, 0))
    image = np.full((SIZE, SIZE, 3), 50, np.uint8)
    cv2.fillConvexPoly(image, cv2.convexHull(np.rint(held[:, :2]).astype(np.int32)), (200, 200, 200))
    made = PortraitLayers.of(image, held, np.ones((SIZE, SIZE), np.float32)).carry(away[None]).frames[0]
    face = np.zeros((SIZE, SIZE), np.uint8)
    cv2.fillConvexPoly(face, cv2.convexHull(np.rint(away[:, :2]).astype(np.int32)), (1,))
    beyond = cv2.dilate(face, np.ones((7, 7), np.uint8)) == 0
    assert (made[..., 0][beyond] > 120).sum() < 0.002 * face.sum()
    assert (made[..., 0][face > 0] > 120).mean() > 0.9


def test_a_still_driver_gives_still_frames(layers: PortraitLayers, portrait: np.ndarray) -> None:
    first, second = layers.carry(np.stack([portrait, portrait])).frames
    np.testing.assert_array_equal(first, second)
    jitter = np.random.default_rng(0).normal(0, 0.1, portrait.shape)
    trembling = layers.carry((portrait + jitter)[None]).frames[0]
    assert np.abs(trembling.astype(int) - first).mean() < 1.0


def test_a_folded_mesh_tears_nothing(layers: PortraitLayers, portrait: np.ndarray) -> None:
    broken = portrait.copy()
    broken[100:140] += np.random.default_rng(1).normal(0, 2 * FACE, (40, 3))
    made = layers.carry(broken[None])
    assert np.isfinite(made.validity).all() and made.validity.min() >= 0 and made.validity.max() <= 1


MEDIA = Path(__file__).parents[3] / "shared" / "photos"


@pytest.mark.skipif(not MEDIA.is_dir(), reason=f"NO REAL PORTRAITS: {MEDIA} is not there, carrying them is not tested")
def test_a_real_portrait_is_itself_at_rest() -> None:
    from model_core.faces.analyze import analyze_frames
    from model_core.faces.foreground import estimate_foreground
    from model_core.faces.mediapipe_backend import MediaPipeAnalyzer
    from model_core.images import load_image, to_uint8

    for name in ("001.jpg", "055.jpg"):
        image = load_image(MEDIA / name)
        pixels = to_uint8(image)[0]
        track = analyze_frames([pixels], MediaPipeAnalyzer(), name=name)
        person = estimate_foreground(image, track)[0, 0].numpy()
        made = PortraitLayers.of(pixels, track.landmarks[0], person).carry(track.landmarks)
        assert np.abs(made.frames[0].astype(int) - pixels).mean() < 0.5
