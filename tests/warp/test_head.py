from __future__ import annotations

import cv2
import numpy as np
import pytest

from model_core.motion.alignment import face_centre, face_size
from model_core.motion.components import RINGS
from model_core.motion.expressions import neutral_face
from model_core.types import NUM_LANDMARKS, Component
from model_core.warp.head import RINGED, moved_rings, with_rings

from .conftest import placed

OVAL = RINGS[Component.FACE]
COUNT = len(OVAL)


def loops(mesh: np.ndarray) -> np.ndarray:
    """(5, N, 3): the outline and the rings, from the inside out."""
    return mesh[..., NUM_LANDMARKS:, :].reshape(-1, COUNT, 3)


@pytest.mark.parametrize("yaw", [0.0, 0.8, -0.8])
def test_the_outline_is_the_edge_of_all_landmarks_in_the_oval_s_directions(yaw: float) -> None:
    face = placed(neutral_face(), (0, yaw, 0))
    outline, centre = loops(with_rings(face))[0], face_centre(face)
    hull = cv2.convexHull(face[:, None, :2].astype(np.float32))
    away = [cv2.pointPolygonTest(hull, point.astype(np.float32).tolist(), True) for point in outline[:, :2]]
    assert np.abs(away).max() < 0.05
    ways, wanted = outline[:, :2] - centre[:2], face[OVAL, :2] - centre[:2]
    across = ways[:, 0] * wanted[:, 1] - ways[:, 1] * wanted[:, 0]
    np.testing.assert_allclose(across, 0, atol=0.01)
    assert (np.einsum("ij,ij->i", ways, wanted) > 0).all()
    np.testing.assert_allclose(outline[:, 2], face[OVAL, 2])


def test_rings_lie_farther_out_and_farther_back() -> None:
    face = placed(neutral_face())
    made, centre, size = loops(with_rings(face)), face_centre(face), face_size(face)
    assert len(with_rings(face)) == RINGED
    radii = np.linalg.norm(made[..., :2] - centre[:2], axis=-1)
    np.testing.assert_allclose(
        radii[1:] / radii[:1], np.repeat([[1.15], [1.4], [1.8], [2.6]], COUNT, axis=1), rtol=1e-6
    )
    depths = (made[1:, :, 2] - made[0, :, 2]) / size
    np.testing.assert_allclose(depths, np.repeat([[0.2], [0.55], [0.9], [1.0]], COUNT, axis=1), atol=1e-6)


def test_a_head_that_moves_takes_hair_along_and_leaves_the_neck_behind() -> None:
    face = placed(neutral_face())
    mesh = with_rings(face)
    way = np.array([20.0, 0.0, 0.0])
    moved = loops(moved_rings(mesh, (face + way)[None])[0]) - loops(mesh)
    np.testing.assert_allclose(moved[0], np.tile(way, (COUNT, 1)), atol=1e-3)
    np.testing.assert_allclose(moved[-1], 0, atol=1e-6)  # the outermost stays still
    top, chin = OVAL.tolist().index(10), OVAL.tolist().index(152)
    assert moved[1:4, top, 0] == pytest.approx([20, 20, 20], abs=0.01)
    below = loops(mesh)[1:4, chin, 1] - face_centre(face)[1]
    lost = np.clip(below / (3.0 * face_size(face)), 0, 1) * (0.3, 0.7, 1.0)
    assert moved[1:4, chin, 0] == pytest.approx(20 * (1 - lost), abs=0.01) and lost[2] > 0.5
    assert np.abs(moved[..., 1:]).max() < 1e-3


def test_a_jaw_that_drops_pushes_what_is_near_it() -> None:
    face = placed(neutral_face())
    dropped = face.copy()
    dropped[152, 1] += 10.0
    made = loops(moved_rings(with_rings(face), dropped[None])[0]) - loops(with_rings(face))
    chin = OVAL.tolist().index(152)
    assert made[1:, chin, 1] == pytest.approx([8.5, 5.0, 1.5, 0.0], abs=0.01)
