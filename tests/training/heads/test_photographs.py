"""Photographs on heads: their colours come back, what is hidden is continued, and what is no face is left out."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from model_core.errors import InputError
from model_core.faces.analyzer import FaceDetection
from model_core.training.heads.atlas import SIDE, TILES, Atlas, filled, skin_atlas
from model_core.training.heads.casting import Casting
from model_core.training.heads.dataset import make_clip
from model_core.training.heads.fit import HeadFit
from model_core.training.heads.ict import Head
from model_core.training.heads.landmarks import framed, landmarks_in_picture, landmarks_in_space
from model_core.training.heads.paint import Look, paint_skin, painted, turned
from model_core.training.heads.performance import Pose
from model_core.training.heads.photo_pool import PhotoPool
from model_core.training.heads.photo_texture import Photograph, paint_from_photograph
from model_core.training.heads.render import Renderer, radiance, tone_mapped
from model_core.training.heads.scene import Camera, Lighting, Optics, SkinMap, Surface
from model_core.training.heads.surroundings import card

SIZE = 384
POSE = Pose(turn=(0.2, 0.05, 0.05))


class OneFace:
    """Finds the same landmarks in every picture that is not black."""

    def __init__(self, landmarks: np.ndarray) -> None:
        self.landmarks = landmarks

    def detect(self, frame: np.ndarray) -> list[FaceDetection]:
        box = np.zeros(4, np.float32)
        return [FaceDetection(box, self.landmarks.astype(np.float32), 1.0)] if frame.any() else []


@pytest.fixture(scope="module")
def atlas(head: Head) -> Atlas:
    return skin_atlas(head)


@pytest.fixture(scope="module")
def render(renderer: Renderer, head: Head) -> tuple[Photograph, HeadFit]:
    """A painted head as if it were a photograph, and where it really is."""
    identity = (np.random.default_rng(3).normal(size=len(head.identity)) * 0.7).astype(np.float32)
    positions, look = head.shape(identity), Look(seed=2, freckles=0.8)
    marks = landmarks_in_space(head, positions, POSE, iris_radius=Optics().iris_radius)
    camera = framed(Camera((SIZE, SIZE)), marks, share=0.48, centre=(0.5, 0.5))
    yaw, pitch, roll = POSE.turn
    surfaces = turned(painted(head, positions, look), yaw=yaw, pitch=pitch, roll=roll)
    pixels, cut = renderer.draw_and_cut(surfaces, camera, lighting=Lighting(), skin=paint_skin(look))
    photo = Photograph(pixels, landmarks_in_picture(marks, camera), cut.astype(np.float32) / 255)
    fit = HeadFit(identity, np.zeros(len(head.expression), np.float32), POSE.turn, camera, 0.0)
    return photo, fit


def test_what_a_picture_shows_is_the_light_that_shows_it() -> None:
    seen = np.linspace(0.0, 0.99, 100, dtype=np.float32)
    np.testing.assert_allclose(tone_mapped(radiance(seen), 1.0), seen, atol=2e-3)


def test_holes_are_filled_from_around_and_the_rest_stays() -> None:
    values = np.zeros((64, 96, 1), np.float32)
    values[:, 48:] = 1.0
    weight = np.ones((64, 96), np.float32)
    weight[20:44, 30:70] = 0
    values[20:44, 30:70] = 77.0  # must not be used
    made = filled(values, weight)[..., 0]
    np.testing.assert_allclose(made[weight > 0], values[..., 0][weight > 0], atol=1e-5)
    assert made.min() >= -1e-4 and made.max() <= 1 + 1e-4
    assert made[32, 31] < 0.3 and made[32, 68] > 0.7


@pytest.mark.slow
def test_a_render_worn_as_a_photograph_gives_the_picture_back(
    renderer: Renderer, head: Head, atlas: Atlas, render: tuple[Photograph, HeadFit]
) -> None:
    photo, fit = render
    skin = paint_from_photograph(renderer, head, atlas, photo, fit)
    assert skin.shape == (SIDE, 2 * SIDE, 3) and np.isfinite(skin).all() and skin.min() >= 0
    pixels = np.concatenate([skin, np.ones_like(skin[..., :1])], axis=2)
    albedo = np.tile(np.array([1, 1, 1, 0], np.float32), (len(atlas.source), 1))
    worn = Surface("photo", fit.posed(head)[atlas.source], atlas.triangles, albedo, atlas.places)
    again = renderer.draw([worn], fit.camera, lighting=Lighting(), skin=SkinMap(pixels, (0.0, 0.0), (2.0, 1.0)))
    face = np.zeros((SIZE, SIZE), np.uint8)
    hull = cv2.convexHull(np.rint(photo.landmarks[:, :2]).astype(np.int32))
    cv2.fillPoly(face, [hull], 1)
    for ring in (slice(468, 473), slice(473, 478)):  # eyeballs are not skin
        place, radius = photo.landmarks[ring, :2].mean(axis=0), 0.12 * photo.face_height
        cv2.circle(face, tuple(np.rint(place).astype(int).tolist()), int(radius), 0, -1)
    error = (again.astype(float) - photo.pixels)[cv2.erode(face, np.ones((7, 7), np.uint8)) > 0]
    assert 10 * np.log10(255**2 / (error**2).mean()) > 30


@pytest.mark.slow
def test_the_card_is_seen_where_the_photograph_shows_it(render: tuple[Photograph, HeadFit]) -> None:
    photo, fit = render
    sheet = card(fit, photo)
    yaw, pitch, roll = fit.turn
    seen = fit.camera.project(turned(sheet.positions, yaw=yaw, pitch=pitch, roll=roll)) / SIZE
    there = np.stack([sheet.rest[:, 0] - (TILES - 1), 1 - sheet.rest[:, 1]], axis=1)
    assert np.abs(seen - there).max() < 0.02


@pytest.mark.slow
def test_a_photograph_without_a_face_is_named_and_left_out(
    head: Head, render: tuple[Photograph, HeadFit], tmp_path: Path
) -> None:
    photo, _ = render
    cv2.imwrite(str(tmp_path / "a_head.png"), photo.pixels[..., ::-1])
    cv2.imwrite(str(tmp_path / "a_wall.png"), np.zeros((64, 64, 3), np.uint8))
    pool = PhotoPool(tmp_path, head, OneFace(photo.landmarks))
    assert [found.name for found, _ in pool.usable] == ["a_head.png"]
    assert [(refusal.name, refusal.reason) for refusal in pool.refused] == [("a_wall.png", "no face is found")]
    (tmp_path / "a_head.png").unlink()
    with pytest.raises(InputError, match="a_wall.png: no face is found"):
        PhotoPool(tmp_path, head, OneFace(photo.landmarks))


@pytest.mark.slow
def test_faces_turned_away_and_tiny_ones_are_left_out(
    head: Head, render: tuple[Photograph, HeadFit], tmp_path: Path
) -> None:
    photo, _ = render
    cv2.imwrite(str(tmp_path / "one.png"), photo.pixels[..., ::-1])
    away = landmarks_in_space(head, head.neutral, Pose(turn=(0.7, 0, 0)), iris_radius=0.62)
    camera = framed(Camera((SIZE, SIZE)), away, share=0.48, centre=(0.5, 0.5))
    for marks, reason in ((landmarks_in_picture(away, camera), "turned away"), (photo.landmarks * 0.2, "pixels tall")):
        with pytest.raises(InputError, match=reason):
            PhotoPool(tmp_path, head, OneFace(marks))


@pytest.mark.slow
def test_the_same_seed_gives_the_same_clip(
    renderer: Renderer, head: Head, render: tuple[Photograph, HeadFit], tmp_path: Path
) -> None:
    photo, _ = render
    cv2.imwrite(str(tmp_path / "one.png"), photo.pixels[..., ::-1])
    made = []
    for _ in range(2):
        casting = Casting(PhotoPool(tmp_path, head, OneFace(photo.landmarks)))
        made.append(make_clip(renderer, head, 4, frames=1, size=64, casting=casting))
    plain = make_clip(renderer, head, 4, frames=1, size=64)
    none = make_clip(renderer, head, 4, frames=1, size=64, casting=Casting(casting.photos, share=0.0))
    for name, value in plain.items():
        assert np.array_equal(made[0][name], made[1][name]) and np.array_equal(value, none[name])
    assert not np.array_equal(made[0]["images"], plain["images"])
