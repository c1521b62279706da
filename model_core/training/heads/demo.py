"""The example portrait and the example driving clip: two people who do not exist."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from ...files import atomic_path
from ...paths import writing
from ...video.write import VideoWriter
from .hair import Style
from .ict import Head
from .paint import Look
from .performance import FPS, Pose, performance
from .render import Renderer
from .scene import Camera, Lighting, Optics
from .studio import Person, Shadows, Studio

PORTRAIT, DRIVING = "demo_portrait.png", "demo_driving.mp4"
_CRF = 27
_PORTRAIT_CAMERA = Camera((768, 768), (0.3, -0.6, 4.0), 35.0)
_CLIP_CAMERA = Camera((512, 512), (0.0, 0.0, 4.0), 34.0)
_PORTRAIT_POSE = Pose(gaze=(-0.12, 0.02), turn=(0.13, -0.02, -0.05))

LIGHTING = Lighting(
    lamps=np.array([[-0.62, 0.5, 0.75], [0.85, 0.05, 0.6], [0.7, 0.45, -0.75]], np.float32),
    colours=np.array([[1.95, 1.80, 1.62], [0.30, 0.33, 0.40], [1.1, 1.15, 1.25]], np.float32),
    sky=(0.30, 0.32, 0.36),
    ground=(0.17, 0.13, 0.11),
)
WOMAN = Person(
    identity_seed=113,
    look=Look(
        skin=(0.40, 0.215, 0.135),
        lips=(0.33, 0.10, 0.085),
        brows=(0.018, 0.010, 0.006),
        scalp=(0.03, 0.016, 0.009),
        blush=0.6,
        freckles=0.45,
        shadow=0.35,
        brow_strength=0.9,
        seed=8,
    ),
    style=Style(length=(22.0, 1.6), colour=(0.075, 0.030, 0.014), wave=(0.5, 0.8)),
    optics=Optics(iris=(0.085, 0.06, 0.022), shine=1.3),
    rest={
        "mouthSmileLeft": 0.32,
        "mouthSmileRight": 0.28,
        "mouthPressLeft": 0.1,
        "mouthPressRight": 0.1,
        "cheekSquintLeft": 0.15,
        "cheekSquintRight": 0.15,
        "eyeSquintLeft": 0.35,
        "eyeSquintRight": 0.35,
        "eyeBlinkLeft": 0.09,
        "eyeBlinkRight": 0.09,
    },
    background=(0.34, 0.29, 0.25),
    clothes=(0.05, 0.13, 0.115),
    lighting=LIGHTING,
)
MAN = Person(
    identity_seed=111,
    look=Look(
        skin=(0.50, 0.29, 0.20),
        brows=(0.03, 0.018, 0.01),
        scalp=(0.06, 0.04, 0.025),
        stubble=0.45,
        freckles=0.05,
        brow_strength=0.9,
        seed=3,
    ),
    style=Style(
        length=(5.0, 0.6),
        colour=(0.09, 0.055, 0.03),
        points=10,
        parting=None,
        volume=0.8,
        wave=(0.15, 2.0),
        stiffness=0.95,
        lift=0.14,
        sides=0.22,
    ),
    optics=Optics(iris=(0.10, 0.16, 0.22)),
    rest={"mouthPressLeft": 0.2, "mouthPressRight": 0.2},
    clothes=(0.14, 0.05, 0.04),
    lighting=LIGHTING,
)


def write_demo(head: Head, folder: Path, *, progress: Callable[[int], object] | None = None) -> Iterator[Path]:
    """Draw both; a quarter of an hour on two processor cores.

    Args:
        progress: told the number of pictures done, after each.
    Yields:
        the path of each file when it is written.
    """
    told = progress or (lambda done: None)
    with Renderer() as renderer:
        studio = Studio(renderer, head, WOMAN, _PORTRAIT_CAMERA, shadows=Shadows(24, 160))
        picture = studio.picture(_PORTRAIT_POSE, supersampling=3)
        told(1)
        with writing(folder / PORTRAIT), atomic_path(folder / PORTRAIT) as partial:
            cv2.imwrite(str(partial), picture[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
        yield folder / PORTRAIT
        studio = Studio(renderer, head, MAN, _CLIP_CAMERA)
        with VideoWriter(folder / DRIVING, fps=Fraction(FPS), crf=_CRF) as writer:
            for number, pose in enumerate(performance()):
                writer.append(studio.picture(pose)[None])
                told(number + 2)
        yield folder / DRIVING
