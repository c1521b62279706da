from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from model_core.warp.tessellation import FACE_TRIANGLES


def test_it_is_the_mesh_that_mediapipe_exports() -> None:
    vision = pytest.importorskip("mediapipe.tasks.python.vision")
    edges = [(edge.start, edge.end) for edge in vision.FaceLandmarksConnections.FACE_LANDMARKS_TESSELATION]
    theirs = {frozenset((edges[i][0], edges[i + 1][0], edges[i + 2][0])) for i in range(0, len(edges), 3)}
    assert {frozenset(triangle) for triangle in FACE_TRIANGLES.tolist()} == theirs


def test_neighbours_run_along_their_edge_in_opposite_directions() -> None:
    directed = Counter((t[i], t[(i + 1) % 3]) for t in FACE_TRIANGLES.tolist() for i in range(3))
    assert max(directed.values()) == 1


def test_triangles_of_a_face_seen_from_the_front_face_the_viewer(portrait: np.ndarray) -> None:
    corners = portrait[FACE_TRIANGLES][..., :2]
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    assert (first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0] > 0).mean() > 0.97
