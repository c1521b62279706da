from __future__ import annotations

import numpy as np
import pytest

from model_core.motion.components import CORNERS, INNER_MOUTH_RINGS, OUTER_MOUTH, OUTER_MOUTH_RINGS, RINGS, visible_side
from model_core.types import NUM_LANDMARKS, Component

EYES_AND_BROWS = (Component.LEFT_EYE, Component.RIGHT_EYE, Component.LEFT_BROW, Component.RIGHT_BROW)


def edges(ring: np.ndarray | list[int], *, closed: bool = True) -> set[frozenset[int]]:
    ring = [int(index) for index in ring]
    return {frozenset(pair) for pair in zip(ring, ring[1:] + ring[:1] if closed else ring[1:], strict=closed)}


def exported(name: str) -> set[frozenset[int]]:
    vision = pytest.importorskip("mediapipe.tasks.python.vision")
    return {frozenset((c.start, c.end)) for c in getattr(vision.FaceLandmarksConnections, f"FACE_LANDMARKS_{name}")}


@pytest.mark.parametrize(
    ("component", "name"),
    [
        (Component.LEFT_EYE, "LEFT_EYE"),
        (Component.RIGHT_EYE, "RIGHT_EYE"),
        (Component.LEFT_IRIS, "LEFT_IRIS"),
        (Component.RIGHT_IRIS, "RIGHT_IRIS"),
        (Component.FACE, "FACE_OVAL"),
    ],
)
def test_closed_contours_are_mediapipes(component: Component, name: str) -> None:
    assert edges(RINGS[component]) == exported(name)


@pytest.mark.parametrize(
    ("component", "name"), [(Component.LEFT_BROW, "LEFT_EYEBROW"), (Component.RIGHT_BROW, "RIGHT_EYEBROW")]
)
def test_a_brow_is_mediapipes_two_lines_joined_at_their_ends(component: Component, name: str) -> None:
    ours, theirs = edges(RINGS[component]), exported(name)
    assert theirs < ours
    assert len(ours - theirs) == 2


def test_the_mouth_is_mediapipes() -> None:
    lines = [edges(line, closed=False) for line in (*OUTER_MOUTH_RINGS, *INNER_MOUTH_RINGS)]
    assert set().union(*lines) == exported("LIPS")
    assert edges(RINGS[Component.INNER_MOUTH]) == lines[2] | lines[3]
    assert edges(OUTER_MOUTH) == lines[0] | lines[1]
    assert lines[0] | lines[2] < edges(RINGS[Component.UPPER_LIP])
    assert lines[1] | lines[3] < edges(RINGS[Component.LOWER_LIP])


def test_the_nose_runs_along_the_mesh() -> None:
    mesh = exported("TESSELATION")
    nose = RINGS[Component.NOSE]
    # a contour through neighbouring mesh points; it may skip one at a time
    neighbours = {index: {other for edge in mesh if index in edge for other in edge} for index in nose.tolist()}
    for here, there in edges(nose):
        assert neighbours[here] & neighbours[there]
    assert {int(i) for i in nose} & {2, 97, 98, 326, 327} == {2, 97, 98, 326, 327}


def test_rings_name_existing_landmarks_once() -> None:
    assert set(RINGS) == set(Component) - {Component.BACKGROUND}
    for ring in RINGS.values():
        assert len(set(ring.tolist())) == len(ring)
        assert ring.min() >= 0 and ring.max() < NUM_LANDMARKS


def turned(face: np.ndarray, degrees: float) -> np.ndarray:
    angle = np.radians(degrees)
    centre = np.float32([128, 140, 0])
    cosine, sine = np.cos(angle), np.sin(angle)
    return (face - centre) @ np.array([[cosine, 0, -sine], [0, 1, 0], [sine, 0, cosine]]) + centre


def test_everything_is_visible_from_the_front(face: np.ndarray) -> None:
    assert all(visible_side(face, component) for component in EYES_AND_BROWS)


@pytest.mark.parametrize("degrees", [75, -75, 89, -89])
def test_the_far_side_is_hidden_in_profile(face: np.ndarray, degrees: float) -> None:
    profile = turned(face, degrees)
    left_is_nearer = profile[CORNERS[Component.LEFT_EYE][1], 2] < profile[CORNERS[Component.RIGHT_EYE][1], 2]
    for component in EYES_AND_BROWS:
        left = component in (Component.LEFT_EYE, Component.LEFT_BROW)
        assert visible_side(profile, component) == (left == left_is_nearer)


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_visibility_does_not_depend_on_roll_or_blinks(face: np.ndarray, degrees: float) -> None:
    closed = face[:, :2].copy()
    for eye in (Component.LEFT_EYE, Component.RIGHT_EYE):
        closed[RINGS[eye], 1] = 110
    angle = np.radians(degrees)
    roll = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    assert all(visible_side(closed @ roll, component) for component in EYES_AND_BROWS)
