from __future__ import annotations

import cv2
import numpy as np
import pytest

from model_core.motion.alignment import face_size
from model_core.motion.components import OUTER_MOUTH, RINGS
from model_core.motion.expressions import expression_names, expression_offsets, neutral_face
from model_core.types import Component
from model_core.warp.mouth import InnerMouth

from .conftest import SIZE, canvas_of, placed

SKIN, LIPS, TEETH = (120, 120, 120), (200, 100, 90), (240, 240, 240)


def jaw_open(amount: float) -> np.ndarray:
    said = np.zeros((1, 51), np.float32)
    said[0, expression_names().index("jawOpen")] = amount
    return placed(neutral_face() + expression_offsets(said)[0])


def picture(face: np.ndarray, *teeth: tuple[float, float]) -> np.ndarray:
    """Lips around a dark mouth, with teeth between shares of the way from the upper lip to the lower one."""
    image = np.full((SIZE, SIZE, 3), SKIN, np.uint8)
    cv2.fillPoly(image, [np.rint(face[OUTER_MOUTH, :2]).astype(np.int32)], LIPS)
    inside = np.zeros((SIZE, SIZE), np.uint8)
    cv2.fillPoly(inside, [np.rint(face[RINGS[Component.INNER_MOUTH], :2]).astype(np.int32)], (1,))
    image[inside > 0] = (20, 10, 10)
    rows = np.flatnonzero(inside.any(axis=1))
    for start, stop in teeth:
        first, last = (round(rows[0] + share * len(rows)) for share in (start, stop))
        inside[:first], inside[last:] = 0, 0
        image[inside > 0] = TEETH
        cv2.fillPoly(inside, [np.rint(face[RINGS[Component.INNER_MOUTH], :2]).astype(np.int32)], (1,))
    return image


def painted(mouth: InnerMouth, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    frame, validity = np.full((SIZE, SIZE, 3), SKIN, np.uint8), np.ones((SIZE, SIZE), np.float32)
    mouth.paint(canvas_of(frame, validity), target[None])
    return frame, validity


@pytest.mark.parametrize(
    ("teeth", "seam"),
    [
        (((0, 0.3), (0.8, 1.0)), 0.55),
        (((0, 1.0),), 1.0),
        (((0, 0.3),), 0.65),
        (((0.6, 1.0),), 0.3),
        (((0.2, 1.0),), 1.0),
    ],
)
def test_a_mouth_is_cut_where_it_is_dark(teeth: tuple[tuple[float, float], ...], seam: float) -> None:
    face = jaw_open(0.9)
    assert InnerMouth.of(picture(face, *teeth), face).seam == pytest.approx(seam, abs=0.08)


def test_lower_teeth_go_down_with_the_jaw_and_upper_ones_stay() -> None:
    face, wider = jaw_open(0.6), jaw_open(1.0)
    image = picture(face, (0, 0.3), (0.75, 1.0))
    frame, _ = painted(InnerMouth.of(image, face), wider)
    x, middle = int(face[13, 0]), int(face[[13, 14], 1].mean())
    before, after = (np.flatnonzero(pixels[:, x, 1] > 200) for pixels in (image, frame))
    dropped, held = (wider - face)[[152, 168], 1]  # chin, root of the nose
    assert dropped - held > 4
    assert after[after < middle].max() - before[before < middle].max() == pytest.approx(held, abs=1.1)
    assert after[after > middle].min() - before[before > middle].min() == pytest.approx(dropped, abs=1.6)


def test_the_cavity_has_the_dark_colour_of_the_lips_and_is_lighter_near_them() -> None:
    shut, wide = placed(neutral_face()), jaw_open(1.0)
    mouth = InnerMouth.of(picture(shut), shut)
    np.testing.assert_allclose(mouth.cavity, np.array(LIPS) * (0.34, 0.24, 0.24), atol=0.5)
    frame, validity = painted(mouth, wide)
    inside = np.zeros((SIZE, SIZE), np.uint8)
    cv2.fillPoly(inside, [np.rint(wide[RINGS[Component.INNER_MOUTH], :2]).astype(np.int32)], (1,))
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_3)
    deep, near = frame[depth > 0.9 * depth.max()].mean(axis=0), frame[(depth > 2) & (depth < 4)].mean(axis=0)
    np.testing.assert_allclose(deep, mouth.cavity, rtol=0.12)
    assert (near > 1.1 * mouth.cavity).all() and (near < 1.5 * mouth.cavity).all()
    assert validity[depth > 3].max() < 0.01 and validity[:20].min() == 1


def test_lips_that_hardly_part_show_nothing() -> None:
    shut = placed(neutral_face())
    mouth, size = InnerMouth.of(picture(shut), shut), face_size(shut)
    ring = RINGS[Component.INNER_MOUTH]
    lower = (
        ring[len(ring) // 2 + 1 :] if shut[ring[len(ring) // 4], 1] < shut[ring[3 * len(ring) // 4], 1] else ring[1:10]
    )
    shown = []
    for gap in (0.0, 0.01, 0.03, 0.05):
        parted = shut.copy()
        parted[ring, 1] = parted[ring, 1].mean()
        parted[lower, 1] += gap * size
        frame, _ = painted(mouth, parted)
        shown.append(float((np.array(SKIN) - frame.astype(float)).sum()))
    assert shown[0] == shown[1] == 0 < 0.4 * shown[3] < shown[2] < shown[3]


def test_a_mouth_beyond_the_frame_is_not_painted() -> None:
    face = jaw_open(0.8)
    frame, validity = painted(InnerMouth.of(picture(face), face), face + (0.0, 500.0, 0.0))
    assert (frame == SKIN).all() and (validity == 1).all()


def test_lips_outside_the_picture_have_a_usual_colour() -> None:
    face = jaw_open(0.8) + (0.0, 500.0, 0.0)
    mouth = InnerMouth.of(np.full((SIZE, SIZE, 3), 10, np.uint8), face)
    np.testing.assert_allclose(mouth.cavity, 120 * np.array((0.34, 0.24, 0.24)), atol=0.5)
