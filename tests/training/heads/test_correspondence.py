from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors import safe_open

from model_core.faces.blendshapes import BLENDSHAPES
from model_core.faces.mediapipe_backend import MediaPipeAnalyzer
from model_core.motion.alignment import face_centre, face_size
from model_core.motion.components import RINGS
from model_core.motion.expressions import TABLE, expression_offsets
from model_core.training.heads.correspondence import MeshPoints, Sighting, expression_table, find_points, write_table
from model_core.training.heads.ict import Head
from model_core.training.heads.paint import Look, paint_skin, painted
from model_core.training.heads.render import Renderer
from model_core.training.heads.scene import Camera, Lighting
from model_core.types import Component

needs_model = pytest.mark.landmarker


@pytest.fixture(scope="module")
def stored() -> MeshPoints:
    with safe_open(str(TABLE), framework="np") as file:
        weights = file.get_tensor("ict_weights").astype(np.float32)
        return MeshPoints(file.get_tensor("ict_vertices").astype(np.int64), weights)


@pytest.mark.slow
def test_points_are_found_again_where_they_are(head: Head, stored: MeshPoints) -> None:
    """What is seen is drawn from known points: those must come out, within a step of a triangle."""
    random = np.random.default_rng(0)
    few = replace(head, identity=head.identity[:8])
    sightings = []
    for _ in range(6):
        positions = few.shape(random.normal(size=8), {"jawOpen": random.uniform(0, 0.8)})
        unit = face_size(stored.of(positions))
        sightings.append(Sighting(positions[:, :2] / unit, stored.of(positions)[:, :2] / unit))
    found = find_points(few, sightings)
    apart = np.linalg.norm(found.of(head.neutral) - stored.of(head.neutral), axis=1)[:468]
    assert np.median(apart) < 0.05 and np.quantile(apart, 0.95) < 0.3  # cm
    np.testing.assert_allclose(found.weights.sum(axis=1), 1.0, rtol=1e-5)


@pytest.mark.slow
def test_the_table_in_this_repository_is_the_one_of_its_points(head: Head, stored: MeshPoints, tmp_path) -> None:
    made = expression_table(head, stored)
    one_each = expression_offsets(np.eye(51, dtype=np.float32))
    np.testing.assert_allclose(one_each, made, atol=1e-3)
    write_table(tmp_path / "again.safetensors", head, stored)
    with safe_open(str(tmp_path / "again.safetensors"), framework="np") as file:
        assert json.loads(file.metadata()["names"]) == list(BLENDSHAPES)
        np.testing.assert_allclose(file.get_tensor("offsets"), one_each, atol=1e-3)


@needs_model
@pytest.mark.slow
@pytest.mark.parametrize(
    ("coefficients", "part", "tolerance"),
    [
        ({"jawOpen": 0.7}, Component.LOWER_LIP, 0.06),
        ({"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8}, Component.UPPER_LIP, 0.06),
        ({"mouthPucker": 0.9}, Component.UPPER_LIP, 0.06),
        ({"eyeBlinkLeft": 0.9, "eyeBlinkRight": 0.9}, Component.LEFT_EYE, 0.05),
    ],
)
def test_the_table_says_what_the_landmarker_sees_on_a_fresh_render(
    renderer: Renderer, head: Head, coefficients: dict[str, float], part: Component, tolerance: float
) -> None:
    """Another identity and look than the table was made of; offsets of one part of the face, in face sizes."""
    identity = np.random.default_rng(77).normal(size=len(head.identity)) * 0.7
    look, analyzer, seen = Look(seed=5), MediaPipeAnalyzer(), []
    for expression in ({}, coefficients):
        surfaces = painted(head, head.shape(identity, expression), look)
        picture = renderer.draw(surfaces, Camera((512, 512), extent=30.0), lighting=Lighting(), skin=paint_skin(look))
        points = analyzer.detect(picture)[0].landmarks
        seen.append((points - face_centre(points)) / face_size(points))
    row = np.array([[coefficients.get(name, 0.0) for name in BLENDSHAPES]], np.float32)
    said, read = expression_offsets(row)[0, RINGS[part], :2], (seen[1] - seen[0])[RINGS[part], :2]
    assert np.linalg.norm(said, axis=1).max() > 0.08
    assert np.linalg.norm(said - read, axis=1).mean() < tolerance, np.linalg.norm(said - read, axis=1).mean()
    assert np.corrcoef(said.ravel(), read.ravel())[0, 1] > 0.8
