from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.faces.wflw import iris_axes, mesh_from_wflw
from model_core.motion.alignment import face_centre, face_size
from model_core.motion.components import CORNERS, INNER_MOUTH_RINGS, OUTER_MOUTH, OUTER_MOUTH_RINGS, RINGS
from model_core.motion.parsing_map import draw_parsing_map
from model_core.training.avatars import Motion, landmarks, sample_identity
from model_core.types import PALETTE, Component

SIZE = 256


def wflw_of(mesh: np.ndarray) -> np.ndarray:
    """WFLW's 98 points of a face whose mesh is known, by what they mean."""
    points = np.zeros((98, 2))
    face, x = RINGS[Component.FACE], mesh[:, :2]
    points[:33] = spread(x[face[7:30]][::-1], 33)
    for brow, edge in ((Component.RIGHT_BROW, (33, 41, 40, 39, 38)), (Component.LEFT_BROW, (46, 47, 48, 49, 50))):
        points[list(edge)] = x[RINGS[brow][:5]]
    points[[37, 36, 35, 34]] = x[RINGS[Component.RIGHT_BROW][5:9]]
    points[[42, 43, 44, 45]] = x[RINGS[Component.LEFT_BROW][5:9]]
    points[51:55] = spread(x[[168, 4]], 4)
    points[[55, 57, 59]] = x[[98, 2, 327]]
    points[[56, 58]] = (points[[55, 57]] + points[[57, 59]]) / 2
    right, left = RINGS[Component.RIGHT_EYE], RINGS[Component.LEFT_EYE]
    points[[60, 67, 66, 65, 64]] = x[right[[0, 2, 4, 6, 8]]]
    points[[63, 62, 61]] = x[right[[10, 12, 14]]]
    points[[72, 73, 74, 75, 68]] = x[left[[0, 2, 4, 6, 8]]]
    points[[69, 70, 71]] = x[left[[10, 12, 14]]]
    points[76:83] = spread(x[list(OUTER_MOUTH_RINGS[0])], 7)
    points[[82, 83, 84, 85, 86, 87, 76]] = spread(x[list(OUTER_MOUTH_RINGS[1])], 7)[::-1]
    points[88:93] = spread(x[list(INNER_MOUTH_RINGS[0])], 5)
    points[[92, 93, 94, 95, 88]] = spread(x[list(INNER_MOUTH_RINGS[1])], 5)[::-1]
    points[[96, 97]] = x[[468, 473]]
    return points


def spread(line: np.ndarray, count: int) -> np.ndarray:
    way = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    at = np.linspace(0, way[-1], count)
    return np.stack([np.interp(at, way, line[:, axis]) for axis in (0, 1)], axis=1)


@pytest.fixture(scope="module", params=[0, 1, 2])
def truth(request: pytest.FixtureRequest) -> np.ndarray:
    motion = Motion(jaw=0.6, smile=0.3, gaze_x=0.4 * (request.param - 1), roll=0.15 * request.param)
    return landmarks(sample_identity(np.random.default_rng(request.param)), motion, size=SIZE)


@pytest.fixture(scope="module")
def mesh(truth: np.ndarray) -> np.ndarray:
    return mesh_from_wflw(wflw_of(truth))


def test_outlines_come_back(truth: np.ndarray, mesh: np.ndarray) -> None:
    assert mesh.shape == (478, 3) and mesh.dtype == np.float32 and np.isfinite(mesh).all()
    unit = np.linalg.norm(truth[468, :2] - truth[473, :2])
    for component in (*CORNERS, Component.UPPER_LIP, Component.LOWER_LIP, Component.INNER_MOUTH):
        apart = np.linalg.norm((mesh - truth)[RINGS[component], :2], axis=1) / unit
        assert apart.max() < 0.1, component
    for component, allowed in ((Component.NOSE, 0.2), (Component.LEFT_IRIS, 0.1), (Component.RIGHT_IRIS, 0.1)):
        middle = (mesh - truth)[RINGS[component], :2].mean(axis=0) / unit
        assert np.abs(middle).max() < allowed, component


def test_it_suffices_for_alignment_and_drawing(truth: np.ndarray, mesh: np.ndarray) -> None:
    assert face_size(mesh) == pytest.approx(face_size(truth), rel=0.15)
    assert np.abs(face_centre(mesh) - face_centre(truth))[:2].max() < 0.1 * face_size(truth)
    chin, top = RINGS[Component.FACE][18], RINGS[Component.FACE][0]
    assert mesh[top, 1] < mesh[RINGS[Component.LEFT_BROW], 1].min() < mesh[chin, 1]
    picture = draw_parsing_map(mesh, source_size=(SIZE, SIZE), size=(SIZE, SIZE))
    assert {colour for colour in PALETTE.values() if (picture == colour).all(axis=2).any()} == set(PALETTE.values())


@settings(max_examples=30, deadline=None)
@given(scale=st.floats(0.2, 5), x=st.floats(-300, 300), y=st.floats(-300, 300), turn=st.floats(-3, 3))
def test_it_moves_scales_and_rolls_with_its_points(scale: float, x: float, y: float, turn: float) -> None:
    still = wflw_of(landmarks(sample_identity(np.random.default_rng(5)), Motion(jaw=0.3), size=SIZE))
    roll = scale * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    made, expected = mesh_from_wflw(still @ roll + (x, y)), mesh_from_wflw(still)
    np.testing.assert_allclose(made[:, :2], expected[:, :2] @ roll + (x, y), atol=0.02 * scale + 0.01)
    np.testing.assert_allclose(made[:, 2], expected[:, 2] * scale, atol=1e-2)


def test_an_eye_turned_away_has_a_narrow_iris_of_full_height(truth: np.ndarray) -> None:
    points = wflw_of(truth)
    points[68:76, 0] = points[68, 0] + (points[68:76, 0] - points[68, 0]) * 0.4
    _, along, across = iris_axes(points, Component.LEFT_IRIS)
    _, wide, tall = iris_axes(points, Component.RIGHT_IRIS)
    assert np.linalg.norm(along) < 0.6 * np.linalg.norm(wide)
    assert np.linalg.norm(across) == pytest.approx(np.linalg.norm(tall), rel=0.01)
    assert wide[0] > 0 and along[0] > 0 and tall[1] > 0


def test_the_mesh_between_lies_inside(mesh: np.ndarray) -> None:
    outlined = np.unique(np.concatenate([*RINGS.values(), OUTER_MOUTH, [468, 473]]))
    rest = np.setdiff1d(np.arange(478), outlined)
    low, high = mesh[RINGS[Component.FACE], :2].min(0), mesh[RINGS[Component.FACE], :2].max(0)
    assert ((mesh[rest, :2] > low) & (mesh[rest, :2] < high)).all()
