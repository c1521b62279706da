"""The warp's properties on real faces: portraits and drivers of ../shared/media, frames picked by hypothesis."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.faces.analyze import analyze_frames
from model_core.motion.retarget import retarget
from model_core.types import FaceTrack
from model_core.warp import PortraitLayers
from model_core.warp.head import HEAD_TRIANGLES, RING_TRIANGLES, moved_rings, with_rings
from model_core.warp.mesh import MeshFlow, mesh_flow
from model_core.warp.tessellation import FACE_TRIANGLES

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("mediapipe") is None, reason="MEDIAPIPE IS MISSING: the warp is NOT tested on real faces"
)
PORTRAITS = ("mona_lisa.jpg", "photo_man.jpg", "painting_veil.jpg")
DRIVERS = ("drive_expressive.mp4", "drive_short_a.mp4", "drive_short_b.mp4", "drive_talk.mp4", "drive_long.mp4")
FRAMES, EVERY, LONG_SIDE = 10, 7, 384


@dataclass(frozen=True)
class Real:
    images: list[np.ndarray]
    portraits: list[FaceTrack]
    drivers: list[FaceTrack]

    def target(self, portrait: int, driver: int, frame: int) -> np.ndarray:
        """(478, 3) where a portrait's landmarks go in a driver's frame; the first is the driver at rest."""
        track = self.drivers[driver]
        made = retarget(track.take([frame]), self.portraits[portrait], rest=track.take([0]))
        return made.track.landmarks[0].astype(np.float64)


@pytest.fixture(scope="session")
def real(shared_folder: Path) -> Real:
    from model_core.faces.mediapipe_backend import MediaPipeAnalyzer

    analyzer = MediaPipeAnalyzer()
    images = [_shrunk(cv2.imread(str(shared_folder / "media" / name))[..., ::-1]) for name in PORTRAITS]
    portraits = [analyze_frames([image], analyzer, name=name) for image, name in zip(images, PORTRAITS, strict=True)]
    drivers = []
    for name in DRIVERS:
        with av.open(str(shared_folder / "media" / name)) as container:
            shots = islice(container.decode(video=0), 0, FRAMES * EVERY, EVERY)
            frames = [_shrunk(shot.to_ndarray(format="rgb24")) for shot in shots]
        drivers.append(analyze_frames(frames, analyzer, name=name))
    return Real(images, portraits, drivers)


def _shrunk(image: np.ndarray) -> np.ndarray:
    scale = LONG_SIDE / max(image.shape[:2])
    return np.ascontiguousarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))


picked = given(
    portrait=st.integers(0, len(PORTRAITS) - 1),
    driver=st.integers(0, len(DRIVERS) - 1),
    frame=st.integers(0, FRAMES - 1),
)


def flow_to(target: np.ndarray, source: np.ndarray, size: tuple[int, int], *, step: float = 1.0) -> MeshFlow:
    mesh = with_rings(source)
    grid = (int(size[0] / step), int(size[1] / step))
    moved = moved_rings(mesh, target[None])[0]
    return mesh_flow(moved, mesh, HEAD_TRIANGLES, size=grid, step=step, two_sided=len(RING_TRIANGLES))


@settings(max_examples=40, deadline=None)
@picked
def test_landmarks_go_to_landmarks_wherever_they_are_visible(
    real: Real, portrait: int, driver: int, frame: int
) -> None:
    source, target = real.portraits[portrait].landmarks[0].astype(float), real.target(portrait, driver, frame)
    flow = flow_to(target, source, real.images[portrait].shape[:2])
    height, width = flow.triangle.shape
    apart = []
    for number, (x, y) in enumerate(target[:468, :2]):
        if not (2 <= x < width - 2 and 2 <= y < height - 2):
            continue
        around = flow.triangle[int(y - 0.5) : int(y - 0.5) + 2, int(x - 0.5) : int(x - 0.5) + 2] - len(RING_TRIANGLES)
        if np.isin(around, np.flatnonzero((FACE_TRIANGLES == number).any(axis=1))).all():
            at = np.float32([[x - 0.5]]), np.float32([[y - 0.5]])
            found = [cv2.remap(np.ascontiguousarray(flow.source[..., axis]), *at, cv2.INTER_LINEAR) for axis in (0, 1)]
            apart.append(np.hypot(found[0][0, 0] - source[number, 0], found[1][0, 0] - source[number, 1]))
    assert len(apart) > 100
    assert np.percentile(apart, 95) < 0.5


@settings(max_examples=25, deadline=None)
@picked
def test_two_resolutions_agree_inside_the_face(real: Real, portrait: int, driver: int, frame: int) -> None:
    source, target = real.portraits[portrait].landmarks[0].astype(float), real.target(portrait, driver, frame)
    height, width = (side // 2 * 2 for side in real.images[portrait].shape[:2])
    fine = flow_to(target, source, (height, width))
    coarse = flow_to(target, source, (height, width), step=2.0)
    averaged = fine.source.reshape(height // 2, 2, width // 2, 2, 2).mean(axis=(1, 3))
    inside = coarse.triangle >= len(RING_TRIANGLES)
    assert np.percentile(np.linalg.norm(averaged - coarse.source, axis=-1)[inside], 90) < 0.5


@settings(max_examples=25, deadline=None)
@picked
def test_a_carried_portrait_is_whole_and_at_rest_itself(real: Real, portrait: int, driver: int, frame: int) -> None:
    image = real.images[portrait]
    person = np.ones(image.shape[:2], np.float32)
    layers = PortraitLayers.of(image, real.portraits[portrait].landmarks[0], person)
    rest, moved = (real.target(portrait, driver, number) for number in (0, frame))
    made = layers.carry(np.stack([rest, moved]))
    assert made.frames.shape == (2, *image.shape) and 0 <= made.validity.min() and made.validity.max() <= 1
    assert np.abs(made.frames[0].astype(int) - image).mean() < 1.0
    # corners lie beyond the outermost ring or fade to still: nothing is torn in from elsewhere
    assert np.abs(made.frames[1][:4, :4].astype(int) - image[:4, :4]).mean() < 40
    np.testing.assert_array_equal(made.frames[1], layers.carry(moved[None]).frames[0])
