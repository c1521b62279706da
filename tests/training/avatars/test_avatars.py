"""Avatars: their truth agrees with their pictures, motion and identity are apart, a seed is a clip."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from model_core.errors import DependencyError
from model_core.faces.mediapipe_backend import MediaPipeAnalyzer
from model_core.motion.components import OUTER_MOUTH, RINGS
from model_core.training.avatars import (
    HELD_OUT_SEED,
    AvatarFrame,
    Identity,
    Motion,
    landmarks,
    make_clip,
    make_textures,
    render,
    sample_clip,
    sample_identity,
    write_identity,
)
from model_core.training.avatars.geometry import contour_points, frame_centre
from model_core.training.clips import list_clips
from model_core.types import Component

SIZE = 128
GREEN, MAGENTA, GREY = (np.array(c, np.float32) for c in ((0, 1, 0), (1, 0, 1), (0.5, 0.5, 0.5)))
EYES = {Component.RIGHT_EYE: (Component.RIGHT_IRIS, 468), Component.LEFT_EYE: (Component.LEFT_IRIS, 473)}
CONTOURS = sorted({int(i) for ring in RINGS.values() for i in ring})


def identity(seed: int) -> Identity:
    return sample_identity(np.random.default_rng(seed))


def test_card(seed: int) -> Identity:
    """A grey person in a grey room with green irises and magenta lips, evenly lit."""
    person = identity(seed)
    face = replace(
        person.face,
        **{"skin": GREY, "brow": GREY * 0.4, "eye": GREEN, "lip": MAGENTA, "beard": "none", "blush": 0.0},
        **{"eye_shadow": None, "freckles": False, "earring": False},
    )
    scene = replace(
        person.scene,
        **{"background": np.tile(GREY, (2, 1)), "cloth": np.tile(GREY, (2, 1)), "ambient": 1.0, "gloss": 0.0},
        light_colour=np.ones(3, np.float32),
    )
    hair = replace(person.hair, colour=GREY * 0.3, style="short", fringe=False)
    return replace(person, face=face, scene=scene, hair=hair, glasses=None)


test_card.__test__ = False  # type: ignore[attr-defined]


def outline(points: np.ndarray) -> np.ndarray:
    """Mask of a polygon whose points count from the upper left corner of the first pixel."""
    mask = np.zeros((SIZE * 8, SIZE * 8), np.uint8)
    cv2.fillPoly(mask, [np.round(points[:, :2] * 8 - 0.5).astype(np.int32)], (255,))
    return cv2.resize(mask, (SIZE, SIZE), interpolation=cv2.INTER_AREA) / 255.0


def centroid(weights: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[0:SIZE, 0:SIZE] + 0.5
    return np.array([(x * weights).sum(), (y * weights).sum()]) / weights.sum()


def painted(frame: AvatarFrame, colour: np.ndarray) -> np.ndarray:
    """How much of every pixel's colour is of the hue of ``colour``; faint tints of the ground do not count."""
    image = frame.image.astype(float) / 255
    has, lacks = image[..., colour > 0].min(-1), image[..., colour == 0].max(-1)
    return np.clip(has - lacks - 0.2, 0, None)


MOTIONS = {
    "still": Motion(),
    "turned": Motion(yaw=0.4, pitch=-0.2, x=0.06),
    "tilted": Motion(roll=0.35, yaw=-0.3, y=-0.05),
    "speaking": Motion(jaw=0.1, smile=0.8, gaze_x=0.9, blink_left=0.3),
    "pouting": Motion(pucker=0.9, gaze_x=-0.8, gaze_y=0.5, brow_left=1.0),
}


@pytest.mark.parametrize("motion", MOTIONS.values(), ids=MOTIONS)
def test_lips_and_irises_are_painted_where_the_landmarks_say(motion: Motion) -> None:
    frame = render(test_card(3), motion, size=SIZE)
    points = frame.landmarks
    mouth = outline(points[OUTER_MOUTH])
    lips = painted(frame, MAGENTA)
    assert np.linalg.norm(centroid(lips) - centroid(mouth)) < 1.0
    assert lips[cv2.dilate(mouth, np.ones((5, 5))) == 0].max() < 0.05
    green = painted(frame, GREEN)
    for eye, (iris, centre) in EYES.items():
        across, along = points[RINGS[iris][0]] - points[centre], points[RINGS[iris][1]] - points[centre]
        angle = np.linspace(0, 2 * np.pi, 32)[:, None]
        disc = points[centre] + np.cos(angle) * across + np.sin(angle) * along
        opening = outline(points[RINGS[eye]])
        near = cv2.dilate(opening, np.ones((7, 7))) > 0
        assert np.linalg.norm(centroid(green * near) - centroid(opening * outline(disc))) < 1.0


def test_translation_moves_all_landmarks_by_a_share_of_the_frame() -> None:
    person, motion = identity(5), Motion(yaw=0.2, jaw=0.4)
    moved = landmarks(person, replace(motion, x=0.07, y=-0.04), size=200)
    difference = moved - landmarks(person, motion, size=200)
    np.testing.assert_allclose(difference, np.broadcast_to([14.0, -8.0, 0.0], difference.shape), atol=1e-3)


def test_roll_turns_all_landmarks_about_the_middle_of_the_head() -> None:
    person, motion = identity(5), Motion(yaw=0.2, jaw=0.4, x=0.03)
    plain, rolled = (landmarks(person, replace(motion, roll=roll), size=200) for roll in (0.0, 0.3))
    centre = np.array(frame_centre(motion)) * 200
    turn = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])  # clockwise, as y points down
    np.testing.assert_allclose(rolled[:, :2], (plain[:, :2] - centre) @ turn.T + centre, atol=1e-2)
    np.testing.assert_allclose(rolled[:, 2], plain[:, 2], atol=1e-2)


def test_the_size_only_scales() -> None:
    person, motion = identity(6), Motion(pitch=0.2, smile=0.5)
    small, large = (landmarks(person, motion, size=size) for size in (64, 256))
    np.testing.assert_allclose(small * 4, large, rtol=1e-5, atol=1e-3)


def test_every_muscle_moves_its_own_feature_and_no_other() -> None:
    person = identity(7)
    still = landmarks(person, Motion(), size=100)
    brows, left_eye, irises, mouth = (
        {int(i) for part in parts for i in RINGS[part]}
        for parts in (
            (Component.LEFT_BROW, Component.RIGHT_BROW),
            (Component.LEFT_EYE,),
            (Component.LEFT_IRIS, Component.RIGHT_IRIS),
            (Component.UPPER_LIP, Component.LOWER_LIP),
        )
    )
    moves = {"brow_left": brows, "blink_left": left_eye, "gaze_x": irises, "smile": mouth, "pucker": mouth}
    for name, allowed in moves.items():
        shift = np.linalg.norm(landmarks(person, Motion(**{name: 0.8}), size=100) - still, axis=1)[CONTOURS]
        moved = {index for index, distance in zip(CONTOURS, shift, strict=True) if distance > 1e-3}
        assert moved and moved <= allowed, name
    opened = landmarks(person, Motion(jaw=1.0), size=100)
    assert opened[14, 1] - opened[13, 1] > still[14, 1] - still[13, 1] + 3  # lips part
    assert opened[152, 1] > still[152, 1] + 1  # and the chin falls


def test_sides_are_the_persons_own() -> None:
    person = identity(7)
    still, wink = (landmarks(person, Motion(blink_left=blink), size=100) for blink in (0.0, 1.0))
    left = RINGS[Component.LEFT_EYE]
    assert still[left, 0].mean() > 50  # the viewer's right
    assert np.ptp(wink[left, 1]) < 0.6 * np.ptp(still[left, 1])


def test_another_identity_keeps_the_pose() -> None:
    motion = Motion(yaw=0.35, pitch=0.1, roll=-0.2, x=0.05, y=0.02)
    axes = []
    for seed in (1, 2):
        points = landmarks(identity(seed), motion, size=100)
        across = points[list(RINGS[Component.LEFT_EYE])].mean(0) - points[list(RINGS[Component.RIGHT_EYE])].mean(0)
        axes.append(across / np.linalg.norm(across))
    assert axes[0] @ axes[1] > 0.999
    wanted = motion.rotation()[:, 0] * [1, 1, -1]  # z of landmarks grows away from the viewer
    assert axes[0] @ wanted > 0.999


def test_contours_stay_exactly_where_they_are_placed() -> None:
    person, motion = identity(8), Motion(smile=0.5)
    points = contour_points(person, motion)
    assert set(CONTOURS) - {int(i) for i in RINGS[Component.NOSE]} <= set(points)
    made = landmarks(person, motion, size=100)
    scale = person.shape.scale * 100
    for index, (x, y) in points.items():
        np.testing.assert_allclose(made[index, :2], [50 + scale * x, 45.5 + scale * y], atol=1e-2)


def test_the_mesh_covers_the_face_and_nothing_lies_astray() -> None:
    points = landmarks(identity(9), Motion(), size=100)
    hull = cv2.convexHull(points[RINGS[Component.FACE], :2])
    distances = [cv2.pointPolygonTest(hull, (float(x), float(y)), True) for x, y, _ in points]
    assert np.isfinite(points).all() and min(distances) > -2


def test_identities_differ_in_the_picture_and_the_mask_holds_the_person() -> None:
    frames = [render(identity(seed), Motion(), size=64) for seed in (1, 2)]
    assert np.abs(frames[0].image.astype(int) - frames[1].image).mean() > 10
    for frame in frames:
        face = cv2.convexHull(frame.landmarks[RINGS[Component.FACE], :2].astype(np.int32))
        inside = cv2.fillConvexPoly(np.zeros((64, 64), np.uint8), face, (1,)) > 0
        assert (frame.foreground[inside] > 250).mean() > 0.98
        assert frame.foreground[:3, :3].max() == 0 and frame.foreground[:3, -3:].max() == 0


def test_textures_can_be_shared_between_frames() -> None:
    person = identity(2)
    shared = render(person, Motion(), size=48, textures=make_textures(person, 96))
    np.testing.assert_array_equal(shared.image, render(person, Motion(), size=48).image)


def test_a_seed_is_a_clip(tmp_path: Path) -> None:
    first, again, other = (make_clip(seed, frames=3, drivers=2, size=48) for seed in (11, 11, 12))
    assert first["images"].shape == (3, 48, 48, 3) and first["foreground"].shape == (3, 48, 48)
    assert first["landmarks"].shape == (3, 478, 3) and first["driving_landmarks"].shape == (2, 3, 478, 3)
    for name, values in first.items():
        np.testing.assert_array_equal(values, again[name])
        assert not np.array_equal(values, other[name])
    assert not np.allclose(first["driving_landmarks"][0], first["landmarks"])
    path = write_identity(tmp_path, 11, frames=3, drivers=2, size=48)
    (read,) = list_clips(tmp_path)
    np.testing.assert_array_equal(read.load()["images"], first["images"])
    written = path.stat().st_mtime_ns
    write_identity(tmp_path, 11, frames=3, drivers=2, size=48)
    assert path.stat().st_mtime_ns == written and [file.name for file in tmp_path.iterdir()] == ["00000011.npz"]


def test_performances_are_smooth_and_lively() -> None:
    clip = sample_clip(np.random.default_rng(0), 40)
    yaw = np.array([motion.yaw for motion in clip])
    assert np.ptp(yaw) > 0.2 and np.abs(np.diff(yaw, 2)).max() < 0.12
    assert all(0 <= motion.jaw <= 1 and 0 <= motion.blink_left <= 1 and abs(motion.smile) <= 1 for motion in clip)


def test_a_detector_of_real_faces_sees_the_same_eyes_and_lips() -> None:
    """The truth is MediaPipe's topology: what it finds in the picture lies where the landmarks are."""
    try:
        analyzer = MediaPipeAnalyzer()
    except DependencyError as error:
        pytest.skip(str(error))
    measured = np.concatenate([RINGS[Component.LEFT_EYE], RINGS[Component.RIGHT_EYE], OUTER_MOUTH])
    found = 0
    for seed in range(HELD_OUT_SEED, HELD_OUT_SEED + 5):
        frame = render(identity(seed), Motion(yaw=0.1, jaw=0.2), size=192)
        for face in analyzer.detect(frame.image)[:1]:
            found += 1
            eyes = frame.landmarks[[468, 473], :2]
            errors = np.linalg.norm(face.landmarks[measured, :2] - frame.landmarks[measured, :2], axis=1)
            assert errors.mean() < 0.15 * np.linalg.norm(eyes[0] - eyes[1]), seed
    analyzer.close()
    assert found >= 4
