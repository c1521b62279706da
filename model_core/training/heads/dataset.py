"""Rendered heads as prepared clips (see ../clips.py), each a pure function of its seed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.random import Generator

from ..clips import write_clip
from .backdrops import random_backdrop
from .casting import Casting, Role
from .grading import random_grading
from .ict import Head
from .landmarks import framed, landmarks_in_picture, landmarks_in_space
from .people import random_lighting, random_person
from .performance import Pose
from .render import Renderer
from .scene import Camera
from .studio import Person, Shadows, Studio
from .tracks import random_portrait, random_track

HELD_OUT_SEED = 10_000_000
"""Seeds from here on are never trained on."""
_FACE_SHARE = 0.48
"""Height of the face as a share of the picture, as ``faces/framing.py`` frames portraits."""
_CASTING = 1
"""Number of the random stream that photographs are drawn from, beside the one of a painted clip."""
_SHADOWS = Shadows(lamp_samples=3, sky_samples=16, side=256)
_DRIVER_SHADOWS = Shadows(lamp_samples=3, sky_samples=16, side=256, fixed=Pose({"jawOpen": 0.4, "eyeWideLeft": 0.5}))


def make_clip(
    renderer: Renderer,
    head: Head,
    seed: int,
    *,
    frames: int = 10,
    size: int = 256,
    driven: bool = True,
    casting: Casting | None = None,
) -> dict[str, np.ndarray]:
    """A portrait of somebody, and what they do afterwards.

    Args:
        frames: of the performance; the portrait, which is not part of it, comes first.
        driven: whether somebody else performs the same, as masked frames need it. Only their face counts, so they
            have no hair.
        casting: photographs whose people appear; None paints everybody.
    Returns:
        the arrays of a prepared clip of 1 + ``frames`` frames, as clips.py lists them.
    """
    random = np.random.default_rng(seed)
    poses = [random_portrait(random), *random_track(random, frames)]
    person = random_person(random)
    backdrop = random_backdrop(random, (size, size))
    role = Role(person, None, None, False)
    chance = np.random.default_rng([seed, _CASTING])  # of its own: painted clips stay as they are
    if casting is not None:
        role = casting.cast(renderer, chance, person)
    poses = role.poses(poses)
    studio = _studio(renderer, head, role.person, random, size, backdrop)
    place = role.background(studio.camera)
    studio.background = backdrop if place is None else place
    graded = random_grading(random)
    drawn = [studio.picture_and_cut(pose) for pose in poses]
    arrays = {
        "images": np.stack([graded(picture) for picture, _ in drawn]),
        "foreground": np.stack([cut for _, cut in drawn]),
        "landmarks": _landmarks(studio, poses),
        "portraits": np.array([0], np.int64),
    }
    if driven:
        stranger = replace(random_person(random), style=None, lighting=random_lighting(random))
        if casting is not None:
            stranger = casting.cast(renderer, chance, stranger, bare=True).person
        driver = _studio(renderer, head, stranger, random, size, backdrop, _DRIVER_SHADOWS)
        recoloured = random_grading(random)
        pictures = [recoloured(driver.picture(pose, supersampling=1)) for pose in poses]
        arrays["driving_images"] = np.stack(pictures)[None]
        arrays["driving_landmarks"] = _landmarks(driver, poses)[None]
    return arrays


def write_head(
    folder: Path,
    renderer: Renderer,
    head: Head,
    seed: int,
    *,
    frames: int = 10,
    size: int = 256,
    casting: Casting | None = None,
) -> Path:
    """Write one clip as ``<seed>.npz``; one that is already there is left as it is."""
    path = folder / f"{seed:08d}.npz"
    if not path.exists():
        write_clip(path, make_clip(renderer, head, seed, frames=frames, size=size, casting=casting))
    return path


def _studio(
    renderer: Renderer,
    head: Head,
    person: Person,
    random: Generator,
    size: int,
    backdrop: np.ndarray,
    shadows: Shadows = _SHADOWS,
) -> Studio:
    """The person, framed as portraits are, with a little play."""
    studio = Studio(renderer, head, person, Camera((size, size)), shadows=shadows, background=backdrop)
    marks = landmarks_in_space(head, studio.positions(Pose()), Pose(), iris_radius=person.optics.iris_radius)
    share = _FACE_SHARE * float(random.uniform(0.92, 1.06))
    centre = (0.5 + float(random.normal(0, 0.015)), 0.52 + float(random.normal(0, 0.015)))
    studio.camera = framed(studio.camera, marks, share=share, centre=centre)
    return studio


def _landmarks(studio: Studio, poses: list[Pose]) -> np.ndarray:
    """(F, 478, 3) float32 in pixels."""
    radius = studio.person.optics.iris_radius
    made = []
    for pose in poses:
        marks = landmarks_in_space(studio.head, studio.positions(pose), pose, iris_radius=radius)
        made.append(landmarks_in_picture(marks, studio.view(pose)))
    return np.stack(made)
