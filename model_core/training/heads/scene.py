"""What a picture is made of: surfaces, a camera, light and skin. Colours are linear, lengths centimetres."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

SKIN_CORNER = (-10.0, -14.0)
"""x and y in cm of the head at rest where its painted picture begins."""

Kind = Literal["skin", "eye", "strands", "wet", "cloth", "lashes", "photo", "card"]
KINDS: tuple[Kind, ...] = ("skin", "eye", "strands", "wet", "cloth", "lashes", "photo", "card")
_NEAR, _FAR = 10.0, 200.0


@dataclass(frozen=True)
class Surface:
    """Triangles of one kind; everything by vertex.

    Attributes:
        kind: how light acts on it.
        positions: (V, 3) float32 in cm, y up, z towards the viewer.
        triangles: (T, 3) int32.
        albedo: (V, 4) float32, linear red, green, blue; for skin the last says how far the painted map covers it,
            for photographs how much of the light here is added to theirs.
        rest: (V, 3), where textures are looked up: positions of the head at rest; of an eyeball, from its middle.
        normals: (V, 3); None computes them.
        along: (V, 3), the direction of a strand.
        light: (V, 4) in [0, 1], how much of each lamp and of the sky it sees; None is all.
    """

    kind: Kind
    positions: np.ndarray
    triangles: np.ndarray
    albedo: np.ndarray
    rest: np.ndarray
    normals: np.ndarray | None = None
    along: np.ndarray | None = None
    light: np.ndarray | None = None


@dataclass(frozen=True)
class Camera:
    """Looks along -z at ``target``; ``extent`` cm of its plane fill the picture's height."""

    size: tuple[int, int] = (256, 256)
    target: tuple[float, float, float] = (0.0, 0.0, 4.0)
    extent: float = 34.0
    distance: float = 90.0

    @property
    def place(self) -> np.ndarray:
        return np.array(self.target, np.float32) + np.array([0, 0, self.distance], np.float32)

    def matrix(self) -> np.ndarray:
        """(4, 4) from cm to clip coordinates."""
        height, width = self.size
        focal = 2 * self.distance / self.extent
        look = np.eye(4)
        look[:3, 3] = -self.place
        lens = np.zeros((4, 4))
        lens[0, 0], lens[1, 1] = focal * height / width, focal
        lens[2, 2:] = (_FAR + _NEAR) / (_NEAR - _FAR), 2 * _FAR * _NEAR / (_NEAR - _FAR)
        lens[3, 2] = -1
        return (lens @ look).astype(np.float32)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 3) in cm as pixels (..., 2); the middle of the first pixel is at 0.5."""
        height, width = self.size
        away = points - self.place
        pixels = away[..., :2] / -away[..., 2:] * (self.distance / self.extent * height)
        return np.stack([width / 2 + pixels[..., 0], height / 2 - pixels[..., 1]], axis=-1)


@dataclass(frozen=True)
class Lighting:
    """Three lamps far away, sky and ground.

    Attributes:
        lamps: (3, 3) directions towards them, of any length.
        colours: (3, 3) linear.
        sky, ground: light from above and from below.
        exposure: of the picture.
    """

    lamps: np.ndarray = field(
        default_factory=lambda: np.array([[-0.5, 0.6, 0.8], [0.8, 0.1, 0.6], [0.6, 0.5, -0.8]], np.float32)
    )
    colours: np.ndarray = field(
        default_factory=lambda: np.array([[1.5, 1.42, 1.32], [0.35, 0.37, 0.42], [0.5, 0.5, 0.5]], np.float32)
    )
    sky: tuple[float, float, float] = (0.42, 0.44, 0.48)
    ground: tuple[float, float, float] = (0.26, 0.22, 0.2)
    exposure: float = 1.0


@dataclass(frozen=True)
class SkinMap:
    """A picture painted on the front of the head at rest.

    Attributes:
        pixels: (H, W, 4) float32, linear colour and how much of a lip it is; row 0 is the lowest.
        corner: x, y in cm of its lower left corner.
        extent: width and height in cm.
    """

    pixels: np.ndarray
    corner: tuple[float, float] = SKIN_CORNER
    extent: tuple[float, float] = (20.0, 28.0)


@dataclass(frozen=True)
class Optics:
    """What does not change from vertex to vertex: of eyes, skin and hair."""

    iris: tuple[float, float, float] = (0.10, 0.055, 0.03)
    iris_radius: float = 0.62
    pupil: float = 0.36
    shine: float = 1.0
    grain: float = 0.5


def vertex_normals(positions: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V, 3) of unit length, weighted by the triangles' areas."""
    a, b, c = (positions[triangles[:, corner]] for corner in range(3))
    flat = np.cross(b - a, c - a)
    made = np.zeros_like(positions, dtype=np.float64)
    for axis in range(3):
        made[:, axis] = np.bincount(triangles.ravel(), np.repeat(flat[:, axis], 3), minlength=len(positions))
    return (made / np.maximum(np.linalg.norm(made, axis=1, keepdims=True), 1e-9)).astype(np.float32)


def compacted(surface: Surface) -> Surface:
    """The surface without the vertices that none of its triangles has, which cost as much as the others."""
    used, triangles = np.unique(surface.triangles, return_inverse=True)
    normals, along, light = (
        None if part is None else part[used] for part in (surface.normals, surface.along, surface.light)
    )
    return Surface(
        kind=surface.kind,
        positions=surface.positions[used],
        triangles=triangles.reshape(-1, 3).astype(np.int32),
        albedo=surface.albedo[used],
        rest=surface.rest[used],
        normals=normals,
        along=along,
        light=light,
    )
