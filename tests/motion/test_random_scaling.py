from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_core.errors import InputError
from model_core.motion.components import RINGS
from model_core.motion.random_scaling import COMPONENT_RANGE, FACE_RANGE, GROUPS, random_scaling
from model_core.types import Component

seeds = st.integers(0, 2**32 - 1)


def centres(landmarks: np.ndarray) -> np.ndarray:
    return np.stack([landmarks[outline, :2].mean(axis=0) for outline, _ in GROUPS])


def extents(landmarks: np.ndarray) -> np.ndarray:
    return np.stack([np.ptp(landmarks[outline, :2], axis=0) for outline, _ in GROUPS])


def scaled(landmarks: np.ndarray, seed: int, **ranges: tuple[float, float]) -> np.ndarray:
    return random_scaling(landmarks, np.random.default_rng(seed), **ranges)


def test_the_ranges_are_the_papers() -> None:
    assert COMPONENT_RANGE == (0.8, 1.2)
    assert FACE_RANGE == (0.7, 1.3)


@given(seed=seeds)
def test_scale_one_is_the_identity_exactly(face: np.ndarray, seed: int) -> None:
    same = scaled(face, seed, component_range=(1.0, 1.0), face_range=(1.0, 1.0))
    assert np.array_equal(same, face)
    assert same is not face


@given(seed=seeds)
def test_components_scale_within_their_range_about_their_own_centres(face: np.ndarray, seed: int) -> None:
    made = scaled(face, seed, face_range=(1.0, 1.0))
    np.testing.assert_allclose(centres(made), centres(face), atol=1e-2)
    factors = extents(made) / extents(face)
    assert (factors > 0.8 - 1e-4).all() and (factors < 1.2 + 1e-4).all()
    np.testing.assert_allclose(factors[:, 0], factors[:, 1], rtol=1e-3)  # no stretching
    assert np.ptp(factors[:, 0]) > 1e-4  # each its own


@given(seed=seeds)
def test_the_face_scales_within_its_range_and_keeps_its_place(face: np.ndarray, seed: int) -> None:
    made = scaled(face, seed, component_range=(1.0, 1.0))
    before, after = centres(face), centres(made)
    np.testing.assert_allclose(after.mean(axis=0), before.mean(axis=0), atol=1e-2)
    factor = np.linalg.norm(after[0] - after[1]) / np.linalg.norm(before[0] - before[1])
    assert 0.7 - 1e-4 < factor < 1.3 + 1e-4
    np.testing.assert_allclose(
        made[:, :2] - after.mean(axis=0), (face[:, :2] - before.mean(axis=0)) * factor, atol=2e-2
    )


@given(seed=seeds)
def test_both_together_keep_place_and_relative_positions(face: np.ndarray, seed: int) -> None:
    made = scaled(face, seed)
    before, after = centres(face), centres(made)
    np.testing.assert_allclose(after.mean(axis=0), before.mean(axis=0), atol=1e-2)
    spread = (after - after.mean(axis=0)) / (before - before.mean(axis=0) + 1e-9)
    clear = np.abs(before - before.mean(axis=0)) > 1
    assert np.ptp(spread[clear]) < 1e-2
    assert (extents(made) / extents(face) < 1.2 * 1.3 + 1e-3).all()
    assert (extents(made) / extents(face) > 0.8 * 0.7 - 1e-3).all()


def test_the_whole_range_is_used(face: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    factors = [np.ptp(random_scaling(face, rng)[RINGS[Component.FACE], 0]) for _ in range(300)]
    relative = np.array(factors) / np.ptp(face[RINGS[Component.FACE], 0])
    assert relative.min() < 0.73 and relative.max() > 1.27
    assert 0.95 < relative.mean() < 1.05


@given(seed=seeds)
def test_an_eye_and_its_iris_are_one(face: np.ndarray, seed: int) -> None:
    looking = face.copy()
    looking[RINGS[Component.LEFT_IRIS], 0] += 4
    made = scaled(looking, seed)
    for eye, iris in ((Component.LEFT_EYE, Component.LEFT_IRIS), (Component.RIGHT_EYE, Component.RIGHT_IRIS)):
        gaze = [
            (points[RINGS[iris], :2].mean(axis=0) - points[RINGS[eye], :2].mean(axis=0)) / np.ptp(points[RINGS[eye], 0])
            for points in (looking, made)
        ]
        np.testing.assert_allclose(gaze[0], gaze[1], atol=1e-3)


@given(seed=seeds)
def test_frames_of_a_clip_share_their_factors(face: np.ndarray, seed: int) -> None:
    clip = np.stack([face, face + np.float32([9, -4, 0])])
    together = scaled(clip, seed)
    for frame, landmarks in zip(together, clip, strict=True):
        np.testing.assert_allclose(frame, scaled(landmarks, seed), atol=1e-3)


def test_the_input_is_untouched_and_the_type_kept(face: np.ndarray) -> None:
    before = face.copy()
    assert scaled(face, 3).dtype == np.float32
    assert np.array_equal(face, before)
    assert scaled(face[:, :2], 3).shape == (478, 2)


@pytest.mark.parametrize("bad", [(1.2, 0.8), (0.0, 1.0), (-1.0, 1.0)])
def test_bad_ranges_are_named(face: np.ndarray, bad: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="component_range"):
        scaled(face, 0, component_range=bad)
    with pytest.raises(InputError, match="face_range"):
        scaled(face, 0, face_range=bad)
