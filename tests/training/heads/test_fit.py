"""A head is found again in its own landmarks."""

from __future__ import annotations

import numpy as np
import pytest

from model_core.training.heads.fit import HeadFitter
from model_core.training.heads.ict import Head
from model_core.training.heads.landmarks import framed, landmarks_in_picture, landmarks_in_space
from model_core.training.heads.performance import Pose
from model_core.training.heads.scene import Camera, Optics

SIZE = (256, 256)
POSE = Pose({"jawOpen": 0.35, "mouthSmileLeft": 0.8, "eyeBlinkRight": 0.7}, turn=(0.3, -0.1, 0.12))


@pytest.fixture(scope="module")
def fitter(head: Head) -> HeadFitter:
    return HeadFitter(head)


def marks_of(head: Head, identity: np.ndarray, pose: Pose) -> np.ndarray:
    positions = head.shape(identity, pose.expression)
    marks = landmarks_in_space(head, positions, pose, iris_radius=Optics().iris_radius)
    return landmarks_in_picture(marks, framed(Camera(SIZE), marks, share=0.48, centre=(0.52, 0.5)))


@pytest.mark.parametrize("pose", [Pose(), POSE])
def test_a_heads_own_landmarks_give_it_back(head: Head, fitter: HeadFitter, pose: Pose) -> None:
    identity = np.random.default_rng(5).normal(size=len(head.identity)) * 0.8
    marks = marks_of(head, identity, pose)
    fit = fitter.fit(marks, SIZE)
    assert fit.residual < 1.0
    drawn = landmarks_in_space(head, fit.positions(head), Pose(turn=fit.turn), iris_radius=Optics().iris_radius)
    apart = np.linalg.norm(fit.camera.project(drawn) - marks[:, :2], axis=1)[:468]
    assert np.sqrt((apart**2).mean()) < 1.0 and np.quantile(apart, 0.95) < 1.5
    np.testing.assert_allclose(fit.turn, pose.turn, atol=0.03)
    assert np.corrcoef(fit.identity, identity)[0, 1] > 0.6
    assert fit.expression.min() >= 0 and fit.expression.max() <= 1
    jaw = float(fit.expression[head.expression_names.index("jawOpen")])
    assert jaw == pytest.approx(pose.expression.get("jawOpen", 0.0), abs=0.15)


def test_a_face_that_no_head_has_is_far_off(head: Head, fitter: HeadFitter) -> None:
    marks = marks_of(head, np.zeros(len(head.identity)), Pose())
    bent = marks.copy()
    bent[:, 0] += 12 * np.sin(marks[:, 1] / 8)
    assert fitter.fit(bent, SIZE).residual > 3 * max(fitter.fit(marks, SIZE).residual, 0.5)
