"""Rendering an avatar: orthographic rays on the head's surface, layers from back to front, one lamp."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .geometry import contour_points, displacement, frame_centre, half_height, landmarks, taper
from .identity import Identity, Scene
from .motion import Motion
from .texture import Textures, make_textures, paint_face, texture_pixels

SUPERSAMPLING = 2


@dataclass(frozen=True)
class AvatarFrame:
    """A rendered frame with its truth.

    Attributes:
        image: (size, size, 3) uint8 RGB.
        landmarks: (478, 3) float32 pixels, see ``geometry.landmarks``.
        foreground: (size, size) uint8, 255 on the person.
    """

    image: np.ndarray
    landmarks: np.ndarray
    foreground: np.ndarray


@dataclass(frozen=True)
class _Hits:
    """Where rays meet a surface: how far inside the outline (< 0 misses), depth, and head-space position."""

    inside: np.ndarray
    depth: np.ndarray
    x: np.ndarray
    y: np.ndarray
    z: np.ndarray


@dataclass(frozen=True)
class _Shell:
    """A surface around the head: the head itself, its hair or hat.

    Attributes:
        scale: of all axes relative to the head.
        relief: whether the face's relief and taper count.
        shift: moves the surface down.
        lower: vertical half axis below the middle; None is the head's own.
    """

    scale: float = 1.0
    relief: bool = True
    shift: float = 0.0
    lower: float | None = None


class _Canvas:
    """The picture being painted, with the person's mask."""

    def __init__(self, background: np.ndarray, scene: Scene) -> None:
        self.image = background.copy()
        self.person = np.zeros((*background.shape[:2], 1), np.float32)
        self.scene = scene
        self.lamp = (scene.light / np.linalg.norm(scene.light)).astype(np.float32)

    def shade(self, colour: np.ndarray, normals: np.ndarray, *, gloss: float = 0.0) -> np.ndarray:
        """Ambient, diffuse and, with ``gloss``, specular light."""
        scene = self.scene
        diffuse = np.clip(normals @ self.lamp, 0, 1)[..., None]
        lit = colour * (scene.ambient + (1.12 - scene.ambient) * diffuse) * scene.light_colour
        if gloss:
            halfway = self.lamp + np.array([0, 0, 1], np.float32)
            lit = lit + gloss * np.clip(normals @ (halfway / np.linalg.norm(halfway)), 0, 1)[..., None] ** 24
        return lit

    def lay(self, colour: np.ndarray, mask: np.ndarray) -> None:
        """Paint a part of the person over what is there; mask (N, N) in [0, 1]."""
        mask = mask.astype(np.float32)[..., None]
        self.image = self.image * (1 - mask) + np.clip(colour, 0, 1) * mask
        self.person = np.maximum(self.person, mask)


def _soft(value: np.ndarray, width: float) -> np.ndarray:
    """A step at 0 that rises over ``width``."""
    return np.clip(value / width + 0.5, 0, 1)


def _unit(x: np.ndarray, y: np.ndarray | float, z: np.ndarray | float) -> np.ndarray:
    normal = np.stack(np.broadcast_arrays(x, y, z), -1).astype(np.float32)
    return normal / np.linalg.norm(normal, axis=-1, keepdims=True)


def _normals(depth: np.ndarray, pixel: float) -> np.ndarray:
    """Unit normals of a depth map by finite differences; ``pixel`` is a pixel's side in units of depth."""
    depth = depth.astype(np.float32)
    across = cv2.Sobel(depth, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8) / pixel
    down = cv2.Sobel(depth, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8) / pixel
    return _unit(-across, -down, np.ones_like(across))


def _sample(texture: np.ndarray, x: np.ndarray, y: np.ndarray, border: int = cv2.BORDER_REFLECT) -> np.ndarray:
    return cv2.remap(texture, texture_pixels(x), texture_pixels(y), cv2.INTER_LINEAR, borderMode=border)


class _View:
    """One frame's geometry: the pixels' rays in head space."""

    def __init__(self, identity: Identity, motion: Motion, size: int) -> None:
        self.identity, self.motion, self.size = identity, motion, size
        rows, columns = np.mgrid[0:size, 0:size].astype(np.float32)
        self.px, self.py = (columns + 0.5) / size, (rows + 0.5) / size
        self.cx, self.cy = frame_centre(motion)
        self.scale = identity.shape.scale
        self.x = ((self.px - self.cx) / self.scale).astype(np.float32)
        self.y = ((self.py - self.cy) / self.scale).astype(np.float32)
        self.rotation = motion.rotation()
        self.origins = np.stack([self.x, self.y, np.zeros_like(self.x)], -1) @ self.rotation
        self.direction = np.array([0, 0, 1], np.float32) @ self.rotation

    def project(self, point: tuple[float, float, float]) -> np.ndarray:
        """A head-space point in the units of ``x`` and ``y``."""
        return np.asarray(point, np.float32) @ self.rotation.T

    def normals(self, hits: _Hits, *, smooth: float = 0.0) -> np.ndarray:
        depth: cv2.typing.MatLike = hits.depth.astype(np.float32) * self.scale
        if smooth:
            depth = cv2.GaussianBlur(depth, (0, 0), smooth)
        return _normals(depth, 1 / self.size)

    def hit(self, shell: _Shell, *, iterations: int) -> _Hits:
        """Meet a surface: an ellipsoid whose width and relief depend on the place, by fixed point."""
        shape, motion, direction = self.identity.shape, self.motion, self.direction
        ox, oy, oz = (self.origins[..., k] for k in range(3))
        x, y = ox.copy(), oy.copy()
        depth = np.zeros_like(x)
        inside = np.zeros_like(x)
        for step in range(iterations):
            across = shape.half_width * taper(shape, y if shell.relief else np.zeros_like(y)) * shell.scale
            along = half_height(motion, y) * shell.scale
            if shell.lower is not None:
                along = np.where(y > 0, shell.lower, shell.scale)
            deep = shape.depth * shell.scale
            radius: np.ndarray | float = 1.0
            if shell.relief:
                front = (oz + (depth * direction[2] if step else 0)) > 0
                radius = 1 + displacement(shape, x, y) * front
            dx, dy, dz = direction[0] / across, direction[1] / along, direction[2] / deep
            sx, sy, sz = ox / across, (oy - shell.shift) / along, oz / deep
            a = dx * dx + dy * dy + dz * dz
            b = sx * dx + sy * dy + sz * dz
            inside = b * b - a * (sx * sx + sy * sy + sz * sz - radius * radius)
            depth = (-b + np.sqrt(np.maximum(inside, 0))) / a
            x, y = ox + depth * direction[0], oy + depth * direction[1]
        return _Hits(inside, depth, x, y, oz + depth * direction[2])


def _body_shift(motion: Motion) -> tuple[float, float]:
    """How far the body follows the head, as shares of the frame, right and down."""
    return 0.45 * motion.x, 0.5 * motion.y


def render(identity: Identity, motion: Motion, *, size: int = 128, textures: Textures | None = None) -> AvatarFrame:
    """Render one frame with its exact landmarks and mask.

    Args:
        size: side in pixels.
        textures: ``make_textures(identity, SUPERSAMPLING * size)``, to share between the frames of a clip.
    """
    large = size * SUPERSAMPLING
    textures = textures or make_textures(identity, large)
    points = contour_points(identity, motion)
    view = _View(identity, motion, large)
    canvas = _Canvas(textures.background, identity.scene)
    _draw_hair_behind(canvas, view, textures)
    _draw_body(canvas, view, textures)
    _draw_ears(canvas, view)
    _draw_head(canvas, view, textures, paint_face(identity, points, textures))
    if identity.hair.style == "hat":
        _draw_hat(canvas, view, textures)
    image = cv2.resize(canvas.image, (size, size), interpolation=cv2.INTER_AREA)
    person = cv2.resize(canvas.person, (size, size), interpolation=cv2.INTER_AREA)
    return AvatarFrame(
        image=(np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8),
        landmarks=landmarks(identity, motion, size=size, points=points),
        foreground=(person * 255).astype(np.uint8),
    )


def _draw_hair_behind(canvas: _Canvas, view: _View, textures: Textures) -> None:
    hair = view.identity.hair
    if hair.style in ("bald", "hat"):
        return
    lower = {"short": 0.55, "bun": hair.volume}.get(hair.style, hair.length + 0.25)
    hits = view.hit(_Shell(hair.volume, relief=False, shift=-0.06, lower=lower), iterations=2)
    colour = _sample(textures.hair, hits.x, hits.y)
    canvas.lay(canvas.shade(colour * 0.8, view.normals(hits)), _soft(hits.inside, 0.04))
    if hair.style == "bun":
        bun = view.project((0, -1.2, -0.1))
        dx, dy = view.x - bun[0], view.y - bun[1]
        canvas.lay(
            canvas.shade(colour * 0.9, _unit(dx * 2, dy * 2, np.ones_like(dx))),
            _soft(0.3 - np.hypot(dx, dy), 0.05),
        )


def _draw_body(canvas: _Canvas, view: _View, textures: Textures) -> None:
    identity, motion, size = view.identity, view.motion, view.size
    scene, skin = identity.scene, identity.face.skin
    shift_x, shift_y = _body_shift(motion)
    x = 0.5 + shift_x
    y = view.cy + view.scale * 1.05 - shift_y + 0.06
    across = (view.px - x) / scene.shoulder
    moved = np.array([[1, 0, shift_x * size], [0, 1, shift_y * size]], np.float32)
    cloth = cv2.warpAffine(textures.cloth, moved, (size, size), borderMode=cv2.BORDER_REFLECT)
    normals = _unit(across * 0.9, -0.35, 1.0)
    canvas.lay(canvas.shade(cloth, normals), _soft(view.py - (y + 0.035 + 0.2 * across**2), 0.01))
    middle, half = (x + view.cx) / 2, view.scale * identity.shape.half_width * 0.46
    around = np.clip((view.px - middle) / half, -0.95, 0.95)
    mask = _soft(half - np.abs(view.px - middle), 0.008) * _soft(view.py - view.cy - 0.2 * view.scale, 0.01)
    collar = y + 0.055 + scene.neckline - ((view.px - x) / 0.14) ** 2 * 0.05
    mask = mask * _soft(collar - view.py, 0.012)
    shadow = 0.55 + 0.4 * np.clip((view.py - (view.cy + view.scale * 0.95)) / 0.12, 0, 1)
    lit = canvas.shade(np.ones_like(canvas.image) * skin, _unit(around, 0 * around, np.sqrt(1 - around**2)))
    canvas.lay(lit * shadow[..., None], mask)


def _draw_ears(canvas: _Canvas, view: _View) -> None:
    identity = view.identity
    for side in (-1, 1):
        ear = view.project((side * identity.shape.half_width * 0.99, 0.06, -0.05))
        dx, dy = view.x - ear[0], view.y - ear[1]
        if identity.hair.style not in ("long", "curly", "mid"):
            reach = (dx / 0.1) ** 2 + (dy / 0.19) ** 2
            normals = _unit(np.clip(dx / 0.12, -0.9, 0.9), np.clip(dy / 0.2, -0.9, 0.9), np.ones_like(dx))
            colour = identity.face.skin * (0.75 + 0.25 * np.clip(reach, 0, 1)[..., None])
            canvas.lay(canvas.shade(colour, normals), _soft(1 - reach, 0.3))
        if identity.face.earring:
            gold = np.ones_like(canvas.image) * np.array([0.95, 0.85, 0.4], np.float32)
            canvas.lay(gold, _soft(0.035 - np.hypot(dx, dy - 0.24), 0.02))


def _draw_head(canvas: _Canvas, view: _View, textures: Textures, face: np.ndarray) -> None:
    identity = view.identity
    style = identity.hair.style
    hits = view.hit(_Shell(), iterations=4)
    front = _sample(face, hits.x, hits.y, cv2.BORDER_REPLICATE)
    # towards the back of the head the frontal texture is stretched: hair or plain skin there
    facing = _soft(hits.z, 0.16)[..., None]
    skin = np.ones_like(front) * identity.face.skin
    back = skin if style == "bald" else _sample(textures.hair, hits.x, hits.y) * 0.9
    if style not in ("long", "curly", "mid"):
        above = _soft(0.15 - hits.y, 0.2)[..., None]
        back = back * above + skin * (1 - above)
    colour = front * facing + back * (1 - facing)
    normals = view.normals(hits, smooth=0.8)
    canvas.lay(canvas.shade(colour, normals, gloss=identity.scene.gloss), _soft(hits.inside, 0.05))


def _draw_hat(canvas: _Canvas, view: _View, textures: Textures) -> None:
    hits = view.hit(_Shell(1.06, relief=False, shift=-0.04, lower=0.9), iterations=2)
    mask = _soft(hits.inside, 0.04) * _soft(view.identity.hair.line - hits.y, 0.03)
    canvas.lay(canvas.shade(_sample(textures.hair, hits.x, hits.y), view.normals(hits)), mask)
