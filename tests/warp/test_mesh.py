from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.warp.head import HEAD_TRIANGLES, RING_TRIANGLES, with_rings
from model_core.warp.mesh import MeshFlow, mesh_flow

from .conftest import FACE, SIZE, placed


def head_flow(target: np.ndarray, source: np.ndarray, *, step: float = 1.0) -> MeshFlow:
    grid = (int(SIZE / step), int(SIZE / step))
    return mesh_flow(
        with_rings(target), with_rings(source), HEAD_TRIANGLES, size=grid, step=step, two_sided=len(RING_TRIANGLES)
    )


def own_places(step: float = 1.0) -> np.ndarray:
    places = (np.arange(int(SIZE / step)) + 0.5) * step
    return np.stack(np.meshgrid(places, places), axis=-1)


def at(flow: MeshFlow, points: np.ndarray) -> np.ndarray:
    """The flow at points (N, 2), bilinear between pixels."""
    import cv2

    x, y = (points[None, :, axis].astype(np.float32) - 0.5 for axis in (0, 1))
    channels = [cv2.remap(np.ascontiguousarray(flow.source[..., k]), x, y, cv2.INTER_LINEAR)[0] for k in (0, 1)]
    return np.stack(channels, axis=-1)


def visible(target: np.ndarray, flow: MeshFlow) -> np.ndarray:
    """Numbers of the landmarks whose own triangles are painted where they lie."""
    from model_core.warp.tessellation import FACE_TRIANGLES

    first = len(RING_TRIANGLES)
    shown = []
    for number, (x, y) in enumerate(target[:468, :2]):
        here = flow.triangle[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2].ravel() - first
        own = np.flatnonzero((FACE_TRIANGLES == number).any(axis=1))
        if np.isin(here, own).all():
            shown.append(number)
    return np.array(shown)


def test_a_mesh_that_stays_leaves_everything_where_it_is(portrait: np.ndarray) -> None:
    flow = head_flow(portrait, portrait)
    np.testing.assert_allclose(flow.source, own_places(), atol=1e-3)
    assert flow.stretch.min() > 0.99


def test_landmarks_go_to_landmarks(portrait: np.ndarray, open_mouth: np.ndarray) -> None:
    flow = head_flow(open_mouth, portrait)
    shown = visible(open_mouth, flow)
    assert len(shown) > 250
    apart = np.linalg.norm(at(flow, open_mouth[shown, :2]) - portrait[shown, :2], axis=1)
    assert np.percentile(apart, 98) < 0.5


@settings(max_examples=25, deadline=None)
@given(
    scale=st.floats(0.85, 1.2),
    turn=st.floats(-0.4, 0.4),
    shift=st.tuples(st.floats(-15, 15), st.floats(-15, 15)),
)
def test_a_similarity_of_the_landmarks_is_that_similarity_inside_the_face(
    portrait: np.ndarray, scale: float, turn: float, shift: tuple[float, float]
) -> None:
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    target = portrait.copy()
    target[:, :2] = (portrait[:, :2] - SIZE / 2) @ linear.T + SIZE / 2 + shift
    target[:, 2] *= scale
    flow = head_flow(target, portrait)
    inside = flow.triangle >= len(RING_TRIANGLES)
    expected = (own_places() - SIZE / 2 - shift) @ np.linalg.inv(linear).T + SIZE / 2
    assert inside.sum() > 5000
    np.testing.assert_allclose(flow.source[inside], expected[inside], atol=0.02)
    np.testing.assert_allclose(flow.stretch[inside], 1 / scale, atol=0.01)


def test_the_flow_does_not_depend_on_its_resolution(portrait: np.ndarray, open_mouth: np.ndarray) -> None:
    fine, coarse = head_flow(open_mouth, portrait), head_flow(open_mouth, portrait, step=2.0)
    averaged = fine.source.reshape(SIZE // 2, 2, SIZE // 2, 2, 2).mean(axis=(1, 3))
    inside = coarse.triangle >= 0
    apart = np.linalg.norm(averaged - coarse.source, axis=-1)[inside]
    assert np.percentile(apart, 95) < 0.3


def nearest_triangle(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(SIZE, SIZE) by the depth at every pixel's centre, one triangle after the other; -1 for none."""
    depth, found = np.full((SIZE, SIZE), np.inf), np.full((SIZE, SIZE), -1)
    places = own_places()
    for number, triangle in enumerate(triangles):
        a, b, c = vertices[triangle]
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        if abs(area) < 1e-6:
            continue
        away = places - a[:2]
        second = (away[..., 0] * (c[1] - a[1]) - away[..., 1] * (c[0] - a[0])) / area
        third = ((b[0] - a[0]) * away[..., 1] - (b[1] - a[1]) * away[..., 0]) / area
        z = a[2] + second * (b[2] - a[2]) + third * (c[2] - a[2])
        nearer = (second >= 0) & (third >= 0) & (second + third <= 1) & (z < depth)
        depth[nearer], found[nearer] = z[nearer], number
    return found


@pytest.mark.parametrize("yaw", [-0.7, 0.0, 0.7])
def test_the_far_cheek_of_a_turned_head_is_not_painted_over_the_near_one(portrait: np.ndarray, yaw: float) -> None:
    turned = placed((portrait - (SIZE / 2, SIZE / 2, 0)) / FACE, (0, yaw, 0))
    first = len(RING_TRIANGLES)
    painted = mesh_flow(turned, portrait, HEAD_TRIANGLES[first:], size=(SIZE, SIZE))
    truth = nearest_triangle(turned, HEAD_TRIANGLES[first:])
    both = (truth >= 0) & (painted.triangle >= 0)
    centres = portrait[HEAD_TRIANGLES[first:]].mean(axis=1)
    apart = np.linalg.norm(centres[truth[both]] - centres[painted.triangle[both]], axis=-1)
    assert both.sum() > 0.97 * (truth >= 0).sum() > 5000
    assert (apart > 0.35 * FACE).mean() < 0.004  # neighbours may differ along their edges


def test_a_triangle_that_is_enlarged_says_so(portrait: np.ndarray) -> None:
    target = portrait.copy()
    target[:, 1] = SIZE / 2 + (portrait[:, 1] - SIZE / 2) * 2  # along one direction only
    flow = head_flow(target, portrait)
    inside = flow.triangle >= len(RING_TRIANGLES)
    np.testing.assert_allclose(flow.stretch[inside], 0.5, atol=0.02)
