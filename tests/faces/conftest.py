"""Made-up detections, an analyser that returns them, and real media where they are at hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from model_core.faces.analyzer import FaceDetection
from model_core.types import NUM_LANDMARKS

MEDIA = Path(__file__).parents[3] / "shared" / "media"


def make_detection(
    x: float,
    y: float,
    side: float = 100.0,
    *,
    look: int = 0,
    label_map: np.ndarray | None = None,
    blendshapes: np.ndarray | None = None,
    pose: np.ndarray | None = None,
) -> FaceDetection:
    """A square face around (x, y); every ``look`` has its own constellation of landmarks."""
    points = np.random.default_rng(look).uniform(-0.5, 0.5, (NUM_LANDMARKS, 3))
    landmarks = (points * side + (x, y, 0)).astype(np.float32)
    box = np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2], dtype=np.float32)
    return FaceDetection(box, landmarks, 0.9, label_map=label_map, blendshapes=blendshapes, pose=pose)


class ScriptedAnalyzer:
    """Returns the faces of a script, frame by frame."""

    def __init__(self, script: Sequence[Sequence[FaceDetection]]) -> None:
        self.script = list(script)
        self.seen: list[np.ndarray] = []

    def detect(self, frame: np.ndarray) -> list[FaceDetection]:
        self.seen.append(frame)
        return list(self.script[len(self.seen) - 1])


@pytest.fixture(scope="session")
def detection() -> Callable[..., FaceDetection]:
    return make_detection


@pytest.fixture(scope="session")
def scripted() -> type[ScriptedAnalyzer]:
    return ScriptedAnalyzer


@pytest.fixture(scope="session")
def real_image() -> Callable[..., np.ndarray]:
    """Reads a picture of the real media as RGB, at most ``longest`` pixels along its longer side."""

    def read(name: str, longest: int = 640) -> np.ndarray:
        return shrunk(cv2.imread(str(_media(name)))[..., ::-1], longest)

    return read


@pytest.fixture(scope="session")
def real_frames() -> Callable[..., list[np.ndarray]]:
    """Reads every ``step``-th of the first frames of a real clip as RGB."""

    def read(name: str, count: int, *, step: int = 1, longest: int = 4096) -> list[np.ndarray]:
        import av

        frames: list[np.ndarray] = []
        with av.open(str(_media(name))) as container:
            for number, frame in enumerate(container.decode(video=0)):
                if number % step == 0:
                    frames.append(shrunk(frame.to_ndarray(format="rgb24"), longest))
                if len(frames) == count:
                    break
        return frames

    return read


def shrunk(picture: np.ndarray, longest: int) -> np.ndarray:
    height, width = picture.shape[:2]
    scale = min(1.0, longest / max(height, width))
    size = (round(width * scale), round(height * scale))
    return np.ascontiguousarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))


def _media(name: str) -> Path:
    path = MEDIA / name
    if not path.is_file():
        pytest.skip(f"REAL MEDIA MISSING: {name} is not in ../shared/media, faces on real pictures go untested")
    return path
