from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.motion.components import INNER_MOUTH_RINGS
from model_core.motion.head import rotation, rotation_matrix, rotation_vector

angle = st.floats(-1.5, 1.5)


@settings(max_examples=50, deadline=None)
@given(x=angle, y=angle, z=angle)
def test_vectors_and_matrices_are_each_other_s_inverse(x: float, y: float, z: float) -> None:
    vector = np.array([x, y, z])
    matrix = rotation_matrix(vector)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(matrix) == pytest.approx(1.0)
    np.testing.assert_allclose(rotation_vector(matrix), vector, atol=1e-6)


def test_a_turn_about_one_axis_is_the_textbook_s() -> None:
    quarter = rotation_matrix(np.array([[0.0, 0.0, np.pi / 2]]))[0]
    np.testing.assert_allclose(quarter, [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-12)
    np.testing.assert_allclose(rotation_matrix(np.zeros(3)), np.eye(3))


@settings(max_examples=25, deadline=None)
@given(x=angle, y=angle, z=angle, scale=st.floats(0.3, 4))
def test_rotations_are_found_whatever_place_and_size(
    face: np.ndarray, x: float, y: float, z: float, scale: float
) -> None:
    turn = rotation_matrix(np.array([x, y, z]))
    points = face.astype(np.float64)
    np.testing.assert_allclose(rotation(points, points @ turn.T * scale + (40, -7, 3)), turn, atol=1e-6)


def test_many_heads_are_compared_with_one(face: np.ndarray) -> None:
    turns = rotation_matrix(np.array([[0.1, 0.2, 0.3], [-0.4, 0.0, 0.2]]))
    found = rotation(face, face.astype(np.float64) @ np.swapaxes(turns, 1, 2))
    np.testing.assert_allclose(found, turns, atol=1e-6)


def test_an_open_mouth_turns_no_head(face: np.ndarray) -> None:
    talking = face.astype(np.float64)
    talking[list(INNER_MOUTH_RINGS[1])] += (0, 30, 10)
    np.testing.assert_allclose(rotation(face, talking), np.eye(3), atol=1e-6)
