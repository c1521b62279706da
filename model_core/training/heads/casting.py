"""Who plays in a clip: of those that photographs give, or somebody painted."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from .paint import Colour
from .people import photo_lighting
from .performance import Pose
from .photo_colours import hair_colour
from .photo_pool import PhotoPool
from .render import Renderer
from .scene import Camera
from .studio import Person
from .surroundings import backdrop

_SURROUNDED = 0.75
"""Share of the people who keep the hair and clothes of their photograph, and stay where it was taken: clothes that the
mask misses are in the background, and would be missed before another one."""
_AS_TAKEN = 0.5
"""Share of the portraits that show the photograph's own expression and turn."""
_TURNS = 0.75
"""A photograph shows one side; heads turn less far than painted ones."""


@dataclass(frozen=True)
class Casting:
    """Photographs for clips.

    Attributes:
        share: of the clips, and of the drivers, that show one of them.
    """

    photos: PhotoPool
    share: float = 1.0

    def cast(self, renderer: Renderer, random: Generator, person: Person, *, bare: bool = False) -> Role:
        """Somebody for a clip; ``person`` says what a photograph does not, or plays themselves.

        Args:
            bare: whether only the face counts, as of drivers: no hair and no clothes.
        """
        number = int(random.integers(len(self.photos.usable)))
        surrounded = not bare and random.random() < _SURROUNDED
        as_taken = random.random() < _AS_TAKEN
        lighting, shading = photo_lighting(random), float(random.uniform(0.15, 0.4))
        if random.random() >= self.share:
            return Role(person, None, None, False)
        skin = self.photos.skin(renderer, number, surrounded=surrounded, shading=shading)
        style, tint = person.style, _colour(hair_colour(self.photos.usable[number][0]))
        made = replace(
            person,
            photo=skin,
            style=replace(style, colour=tint) if style is not None and skin.card is None else None,
            optics=replace(person.optics, iris=_colour(skin.colours.iris)),
            rest={},
            lighting=lighting,
        )
        return Role(made, self, number if skin.card is not None else None, as_taken)


@dataclass(frozen=True)
class Role:
    """Somebody, and what their photograph changes in a clip.

    Attributes:
        place: the number of the photograph whose background stays.
        as_taken: whether the portrait is taken as the photograph was.
    """

    person: Person
    casting: Casting | None
    place: int | None
    as_taken: bool

    def poses(self, poses: list[Pose]) -> list[Pose]:
        """A clip's poses, the portrait's first."""
        photo = self.person.photo
        if photo is None:
            return poses
        made = [replace(pose, turn=(pose.turn[0] * _TURNS, pose.turn[1] * _TURNS, pose.turn[2])) for pose in poses]
        return [photo.own, *made[1:]] if self.as_taken else made

    def background(self, camera: Camera) -> np.ndarray | None:
        """(H, W, 3) linear: where the photograph was taken, as the camera sees it; None leaves it to the studio."""
        if self.casting is None or self.place is None:
            return None
        return backdrop(*self.casting.photos.usable[self.place], camera)


def _colour(values: np.ndarray) -> Colour:
    red, green, blue = values.tolist()
    return red, green, blue
