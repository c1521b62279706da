"""A person before a camera: painted, given hair and lit once, then drawn in any pose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from .clothes import covered, jumper
from .hair import Style, hair, thinned
from .ict import Head
from .paint import Colour, Look, paint_skin, painted, turned
from .performance import Pose
from .photo_skin import PhotoSkin
from .render import Renderer
from .scene import Camera, Lighting, Optics, Surface, compacted
from .shadow import with_shadows


@dataclass(frozen=True)
class Person:
    """Somebody.

    Attributes:
        identity_seed, strength: of the head's identity weights, N(0, strength).
        style: of the hair; None is a bald head.
        rest: coefficients that they always have, such as closed lips.
        clothes, neckline: colour of the jumper, and the height of its collar in cm.
        background: colour behind, where it is brightest.
        photo: skin and identity out of a photograph, instead of those of ``look`` and ``identity_seed``.
    """

    identity_seed: int
    look: Look
    style: Style | None
    optics: Optics
    strength: float = 0.65
    rest: Mapping[str, float] = field(default_factory=dict)
    clothes: Colour = (0.1, 0.1, 0.1)
    neckline: float = -11.4
    background: Colour = (0.22, 0.24, 0.26)
    lighting: Lighting = field(default_factory=Lighting)
    photo: PhotoSkin | None = None


@dataclass(frozen=True)
class Shadows:
    """How finely shadows are made.

    Attributes:
        lamp_samples, sky_samples, side: see ``with_shadows``.
        fixed: those of this pose serve for all, where hardly anything of them is seen.
    """

    lamp_samples: int = 8
    sky_samples: int = 40
    side: int = 512
    fixed: Pose | None = None


class Studio:
    """A person before a camera, who is painted and given hair once.

    Args:
        background: (H, W, 3) linear; None is a wall in the person's colour.
    """

    def __init__(
        self,
        renderer: Renderer,
        head: Head,
        person: Person,
        camera: Camera,
        *,
        shadows: Shadows | None = None,
        background: np.ndarray | None = None,
    ) -> None:
        self.renderer, self.head, self.person, self.camera = renderer, head, person, camera
        self.shadows = shadows or Shadows()
        self.shape = head.shape(_identity(head, person))
        at_rest = head.expressed(self.shape, person.rest)
        photo = person.photo
        self.skin = paint_skin(person.look) if photo is None else photo.skin
        dressed = photo is not None and photo.card is not None
        self.clothes = [] if dressed else [jumper(at_rest, person.clothes, neckline=person.neckline)]
        self.background = _wall(camera.size, person.background) if background is None else background
        self.hair: list[Surface] = []
        if person.style is not None:
            strands = hair(head, at_rest, person.style)
            skin, *_ = self._body(Pose())
            # hair turns with the head, so what lies in its shadow hardly changes
            self.hair = self._lit([strands], [strands, skin, *self.clothes])
        self.fixed_light: list[np.ndarray | None] | None = None
        if self.shadows.fixed is not None:
            body = [*self._body(self.shadows.fixed), *self.clothes]
            self.fixed_light = [part.light for part in self._lit(body, [*body, *self.hair])]

    def picture(self, pose: Pose, *, supersampling: int = 2) -> np.ndarray:
        """(H, W, 3) uint8."""
        return self.picture_and_cut(pose, supersampling=supersampling)[0]

    def picture_and_cut(self, pose: Pose, *, supersampling: int = 2) -> tuple[np.ndarray, np.ndarray]:
        """(H, W, 3) uint8, and (H, W) uint8, 255 on the person."""
        yaw, pitch, roll = pose.turn
        body = turned([*self._body(pose), *self.hair], yaw=yaw, pitch=pitch, roll=roll)
        strands = body[len(body) - len(self.hair) :]
        body = [*body[: len(body) - len(self.hair)], *self.clothes]
        if self.fixed_light is None:
            body = self._lit(body, [*body, *strands])
        else:
            body = [replace(part, light=light) for part, light in zip(body, self.fixed_light, strict=True)]
        return self.renderer.draw_and_cut(
            [*body, *strands],
            self.view(pose),
            lighting=self.person.lighting,
            skin=self.skin,
            optics=self.person.optics,
            background=self.background,
            supersampling=supersampling,
        )

    def positions(self, pose: Pose) -> np.ndarray:
        """(V, 3) of the head, not turned yet."""
        expression = dict(self.person.rest)
        for name, coefficient in pose.expression.items():
            expression[name] = expression.get(name, 0.0) + coefficient
        return self.head.expressed(self.shape, expression)

    def view(self, pose: Pose) -> Camera:
        """The camera as it sees a person who has moved."""
        x, y, z = self.camera.target
        return replace(self.camera, target=(x - pose.shift[0], y - pose.shift[1], z))

    def _lit(self, surfaces: list[Surface], around: list[Surface]) -> list[Surface]:
        """The surfaces with shadows of all that is around them."""
        style = self.person.style
        casters = [
            thinned(part, style.points, keep=8) if style is not None and part.kind == "strands" else part
            for part in around
            if part.kind in ("skin", "strands", "cloth", "photo")
        ]
        return with_shadows(
            self.renderer,
            surfaces,
            self.person.lighting,
            casters=casters,
            lamp_samples=self.shadows.lamp_samples,
            sky_samples=self.shadows.sky_samples,
            side=self.shadows.side,
        )

    def _body(self, pose: Pose) -> list[Surface]:
        skin, *others = painted(self.head, self.positions(pose), self.person.look, gaze=pose.gaze)
        style, photo = self.person.style, self.person.photo
        if photo is not None:
            return [compacted(part) for part in photo.dressed(self.head, skin, others)]
        skin = covered(self.head, skin, ears=style is not None and style.parting is not None)
        return [compacted(part) for part in (skin, *others)]


def _identity(head: Head, person: Person) -> np.ndarray:
    if person.photo is not None:
        return person.photo.identity
    return np.random.default_rng(person.identity_seed).normal(size=len(head.identity)) * person.strength


def _wall(size: tuple[int, int], colour: Colour) -> np.ndarray:
    """(H, W, 3) linear: lighter behind the head."""
    height, width = size
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(1, 0, height))
    glow = 0.55 + 0.75 * np.exp(-1.6 * ((x - 0.1) ** 2 + 1.5 * (y - 0.6) ** 2))
    return (np.array(colour) * glow[..., None]).astype(np.float32)
