"""The example portrait and clip, as they lie in this repository, and what they are made by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from model_core.faces.analyze import analyze_frames
from model_core.faces.blendshapes import BLENDSHAPES
from model_core.faces.mediapipe_backend import MediaPipeAnalyzer
from model_core.training.heads.demo import DRIVING, MAN, PORTRAIT, WOMAN
from model_core.training.heads.hair import hair
from model_core.training.heads.ict import Head
from model_core.training.heads.performance import ACTS, FPS, SECONDS, Pose, performance
from model_core.training.heads.render import Renderer
from model_core.training.heads.scene import Camera
from model_core.training.heads.studio import Person, Shadows, Studio
from model_core.video.read import open_video, read_video

ASSETS = Path(__file__).parents[3] / "model_core" / "assets"
needs_model = pytest.mark.landmarker


def test_the_files_are_small_and_of_the_size_they_were_made_for() -> None:
    clip = open_video(ASSETS / DRIVING)
    assert (clip.frames, clip.size, clip.fps) == (round(FPS * SECONDS), (512, 512), FPS)
    assert (ASSETS / DRIVING).stat().st_size < 250_000
    assert cv2.imread(str(ASSETS / PORTRAIT)).shape == (768, 768, 3)
    assert (ASSETS / PORTRAIT).stat().st_size < 600_000


@needs_model
def test_the_driver_s_face_is_found_in_every_frame_and_reads_as_what_it_does() -> None:
    track = analyze_frames(read_video(ASSETS / DRIVING), MediaPipeAnalyzer(), name=DRIVING, policy="error")
    assert track.detected.all() and track.blendshapes is not None
    most = dict(zip(BLENDSHAPES, track.blendshapes.max(axis=0).tolist(), strict=True))
    for name, least in (
        ("jawOpen", 0.6),
        ("mouthSmileLeft", 0.6),
        ("mouthSmileRight", 0.6),
        ("mouthPucker", 0.6),
        ("browInnerUp", 0.3),
        ("browOuterUpLeft", 0.3),
        ("browOuterUpRight", 0.3),
        ("eyeLookOutLeft", 0.3),
        ("eyeLookInLeft", 0.3),
        ("eyeLookUpLeft", 0.3),
        ("eyeLookDownLeft", 0.3),
    ):
        assert most[name] > least, (name, most[name])
    left, right = (track.blendshapes[:, BLENDSHAPES.index(f"eyeBlink{side}")] for side in ("Left", "Right"))
    wink = np.argmax(left - right)
    assert left[wink] > 0.4 and right[wink] < 0.25
    for end in (0, -1):
        at_rest = track.blendshapes[end]
        assert at_rest[BLENDSHAPES.index("jawOpen")] < 0.05 and at_rest[BLENDSHAPES.index("eyeBlinkLeft")] < 0.2


@needs_model
def test_the_portrait_shows_one_face_with_open_eyes_and_closed_lips() -> None:
    picture = cv2.imread(str(ASSETS / PORTRAIT))[..., ::-1]
    (face,) = MediaPipeAnalyzer().detect(np.ascontiguousarray(picture))
    assert face.blendshapes is not None
    said = dict(zip(BLENDSHAPES, face.blendshapes.tolist(), strict=True))
    assert said["jawOpen"] < 0.05 and said["eyeBlinkLeft"] < 0.3 and said["eyeBlinkRight"] < 0.3
    assert 0.3 < (face.box[3] - face.box[1]) / 768 < 0.8


def test_the_performance_begins_and_ends_at_rest_and_never_jumps() -> None:
    poses = performance()
    assert len(poses) == 125 and poses[0] == Pose() and not poses[-1].expression
    names = sorted({name for act in ACTS for name in act.pose.expression})
    curves = np.array([[pose.expression.get(name, 0.0) for name in names] + [*pose.gaze, *pose.turn] for pose in poses])
    assert np.abs(np.diff(curves, axis=0)).max() < 0.6  # a blink is the fastest
    yaw = curves[:, -3]
    assert yaw.max() > np.radians(15) and yaw.min() < -np.radians(15)


@pytest.mark.slow
@pytest.mark.parametrize("person", [MAN, WOMAN])
def test_hair_covers_the_scalp_and_leaves_the_face_free(head: Head, person: Person) -> None:
    weights = np.random.default_rng(person.identity_seed).normal(size=len(head.identity)) * person.strength
    positions = head.shape(weights, person.rest)
    strands = hair(head, positions, replace(person.style, strands=2000))
    x, y, z = strands.positions.T
    assert np.isfinite(strands.positions).all() and y.max() > positions[:, 1].max()
    before_the_face = (np.hypot(x, y - 1.0) < 4.0) & (z > 4.0)
    assert before_the_face.mean() < 1e-3
    lengths = np.linalg.norm(np.diff(strands.positions[::2].reshape(2000, -1, 3), axis=1), axis=-1).sum(axis=1)
    assert np.median(lengths) == pytest.approx(person.style.length[0], rel=0.5)


@pytest.mark.slow
def test_chin_and_nose_throw_shadows(renderer: Renderer, head: Head) -> None:
    bristles = replace(MAN, style=replace(MAN.style, strands=500))
    studio = Studio(renderer, head, bristles, Camera((64, 64)), shadows=Shadows(4, 32))
    skin = studio._lit(studio._body(Pose()), [*studio._body(Pose()), *studio.clothes])[0]
    assert skin.light is not None and skin.light.min() >= 0 and skin.light.max() <= 1.001
    front = np.isin(skin.rest, head.neutral[:9409]).all(axis=1)
    outside = SimpleNamespace(rest=skin.rest[front], light=skin.light[front])

    def sky(x: float, y: float, z: float) -> float:
        distance = np.linalg.norm(outside.rest - [x, y, z], axis=1)
        return float(outside.light[np.argsort(distance)[:12], 3].mean())

    forehead, under_chin, nostril = sky(0, 8, 10.3), sky(0, -9.5, 7.0), sky(0.8, -0.9, 10.8)
    assert forehead > 0.85 and under_chin < forehead - 0.2 and nostril < forehead - 0.2
