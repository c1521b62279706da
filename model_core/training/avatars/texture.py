"""Painting an avatar: skin, hair, clothes and background once, the moving features every frame.

The face is painted on a square texture of the frontal plane, which the renderer then wraps over the surface.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from ...motion.components import INNER_MOUTH_RINGS, OUTER_MOUTH_RINGS, RINGS
from ...types import Component
from .geometry import Points
from .identity import Glasses, Hair, Identity
from .patterns import octaves, pattern

TEXTURE = 384
"""Side of the face texture in pixels."""

EXTENT = 1.25
"""The texture covers [-EXTENT, EXTENT] of the frontal plane along both axes."""

_SHIFT = 4
_COVERS_EARS = ("long", "curly", "mid")


@dataclass(frozen=True)
class Textures:
    """What of an avatar does not move; float32 in [0, 1].

    Attributes:
        skin, hair: (TEXTURE, TEXTURE, 3) on the frontal plane.
        hair_mask: (TEXTURE, TEXTURE, 1), 1 where hair covers the head.
        background, cloth: (size, size, 3).
    """

    skin: np.ndarray
    hair: np.ndarray
    hair_mask: np.ndarray
    background: np.ndarray
    cloth: np.ndarray


def texture_pixels(plane: np.ndarray) -> np.ndarray:
    """Frontal-plane coordinates to texture coordinates in pixels, the same shape."""
    return ((plane / EXTENT * 0.5 + 0.5) * TEXTURE).astype(np.float32)


def _fixed(points: object) -> np.ndarray:
    """Frontal-plane points (N, 2) as OpenCV's fixed-point pixels."""
    return np.round((np.asarray(points) / EXTENT * 0.5 + 0.5) * TEXTURE * 2**_SHIFT - 8).astype(np.int32)


def _length(value: float) -> int:
    return int(value / EXTENT * 0.5 * TEXTURE * 2**_SHIFT)


def _colour(colour: np.ndarray, factor: float = 1.0) -> tuple[float, float, float]:
    r, g, b = (float(c) * factor for c in colour)
    return r, g, b


def _point(place: tuple[float, float]) -> tuple[int, int]:
    x, y = _fixed([place])[0]
    return int(x), int(y)


def _disc(image: np.ndarray, centre: tuple[float, float], radius: float, colour: np.ndarray) -> None:
    cv2.circle(image, _point(centre), _length(radius), _colour(colour), -1, cv2.LINE_8, _SHIFT)


def _oval(image: np.ndarray, centre: tuple[float, float], axes: tuple[float, float], colour: np.ndarray) -> None:
    size = (_length(axes[0]), _length(axes[1]))
    cv2.ellipse(image, _point(centre), size, 0, 0, 360, _colour(colour), -1, cv2.LINE_8, _SHIFT)


def _cover(outline: object, *, blur: float = 0.0) -> np.ndarray:
    """Mask of a filled outline, (TEXTURE, TEXTURE, 1) in [0, 1]."""
    mask: cv2.typing.MatLike = np.zeros((TEXTURE, TEXTURE), np.uint8)
    cv2.fillPoly(mask, [_fixed(outline)], (255,), cv2.LINE_AA, _SHIFT)
    if blur:
        mask = cv2.GaussianBlur(mask, (0, 0), blur)
    return mask.astype(np.float32)[..., None] / 255


def _lay(under: np.ndarray, over: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(under * (1 - mask) + over * mask, np.float32)


def _plane() -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[0:TEXTURE, 0:TEXTURE].astype(np.float32)
    return (x / TEXTURE * 2 - 1) * EXTENT, (y / TEXTURE * 2 - 1) * EXTENT


def _sigmoid(value: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(value, -60, 60)))


def make_textures(identity: Identity, size: int) -> Textures:
    """Paint what does not move.

    Args:
        size: side of background and clothes in pixels.
    """
    rng = np.random.default_rng(identity.texture_seed)
    scene = identity.scene
    skin = _paint_skin(identity, rng)
    lines, strands = _strands(identity.hair, rng)
    beard = _beard_mask(identity, lines)
    return Textures(
        skin=_lay(skin, identity.face.brow * 0.8 + 0.02, beard),
        hair=_paint_hair(identity.hair, rng, lines, strands),
        hair_mask=_hair_mask(identity, strands),
        background=pattern(rng, size, scene.background_pattern, scene.background, scene.background_frequency),
        cloth=pattern(rng, size, scene.cloth_pattern, scene.cloth, scene.cloth_frequency),
    )


def _paint_skin(identity: Identity, rng: Generator) -> np.ndarray:
    face = identity.face
    noise = octaves(rng, TEXTURE, count=5, channels=1, base=4)
    fine = rng.normal(0, 1, (TEXTURE, TEXTURE, 1)).astype(np.float32)
    skin = face.skin * (1 + 0.035 * noise + 0.015 * fine)
    x, y = _plane()
    blush = np.exp(-(((np.abs(x) - 0.4) / 0.17) ** 2) - ((y - 0.33) / 0.15) ** 2)[..., None] * face.blush
    skin = _lay(skin, np.array([0.85, 0.35, 0.35], np.float32), blush)
    if face.freckles:
        for _ in range(60):
            _disc(skin, (rng.normal(0, 0.3), rng.normal(0.25, 0.12)), rng.uniform(0.008, 0.024), face.skin * 0.7)
    if face.eye_shadow is not None:
        shape = identity.shape
        lids = np.zeros((TEXTURE, TEXTURE), np.float32)
        for side in (-1, 1):
            place = (side * shape.eye_x, shape.eye_y - 0.06)
            size = (_length(shape.eye_width * 1.1), _length(0.07))
            cv2.ellipse(lids, _point(place), size, 0, 0, 360, (1.0,), -1, cv2.LINE_8, _SHIFT)
        skin = _lay(skin, face.eye_shadow, cv2.GaussianBlur(lids, (0, 0), 5)[..., None] * 0.5)
    return skin


def _strands(hair: Hair, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    """Fine strands and coarse locks, (TEXTURE, TEXTURE) and (TEXTURE, TEXTURE, 1)."""
    locks = octaves(rng, TEXTURE, count=5, channels=1, base=5)
    white = rng.normal(0, 1, (TEXTURE, TEXTURE)).astype(np.float32)
    length = 2 if hair.style == "curly" else 14
    return cv2.GaussianBlur(white, (0, 0), sigmaX=0.8, sigmaY=length) * 4, locks


def _paint_hair(hair: Hair, rng: Generator, lines: np.ndarray, locks: np.ndarray) -> np.ndarray:
    if hair.style != "hat":
        strands = hair.colour * (1 + 0.22 * lines[..., None] + 0.15 * locks) + 0.03
        return np.clip(strands, 0, 1).astype(np.float32)
    fine = rng.normal(0, 1, (TEXTURE, TEXTURE, 1)).astype(np.float32)
    wool = np.clip(hair.colour * (1 + 0.05 * locks + 0.05 * fine), 0, 1).astype(np.float32)
    for band in range(-4, 8):
        if rng.random() < 0.5:
            top = int((band / 12 + 0.25) * TEXTURE)
            wool[max(top, 0) : max(top + 10, 0)] *= 0.6
    return wool


def _hair_mask(identity: Identity, locks: np.ndarray) -> np.ndarray:
    hair, half_width = identity.hair, identity.shape.half_width
    x, y = _plane()
    if hair.style == "bald":
        return np.zeros((TEXTURE, TEXTURE, 1), np.float32)
    if hair.style == "hat":
        return _sigmoid((hair.line + 0.05 - y) * 120).astype(np.float32)[..., None]
    line = hair.line - 0.06 * (1 - ((x - hair.part * 0.3) / 0.5) ** 2)
    line = line + 0.42 * np.maximum(np.abs(x) / half_width - 0.55, 0) + 0.03 * locks[..., 0]
    if hair.fringe:
        line = line + 0.16
    mask = _sigmoid((line - y) * 60)
    if hair.style in _COVERS_EARS:
        beside = _sigmoid((np.abs(x) - half_width * 0.9 + 0.08 * locks[..., 0]) * 50) * (y < hair.length)
        mask = np.maximum(mask, beside)
    return mask.astype(np.float32)[..., None]


def _beard_mask(identity: Identity, lines: np.ndarray) -> np.ndarray:
    style, shape = identity.face.beard, identity.shape
    x, y = _plane()
    beard = np.zeros_like(x)
    if style in ("full", "stubble"):
        reach = (x / (shape.half_width * 0.9)) ** 2 + ((y - 0.25) / 0.75) ** 2
        beard = _sigmoid((reach - 0.62) * 14) * (y > 0.12)
        beard = beard + np.exp(-((x / 0.24) ** 4) - ((y - shape.mouth_y + 0.13) / 0.05) ** 2)
    if style == "goatee":
        beard = np.exp(-((x / 0.18) ** 4) - ((y - shape.mouth_y - 0.24) / 0.12) ** 4)
    if style in ("goatee", "moustache"):
        beard = beard + np.exp(-((x / 0.24) ** 4) - ((y - shape.mouth_y + 0.12) / 0.045) ** 2)
    density = 0.45 if style == "stubble" else 0.9
    return (np.clip(beard, 0, 1) * density * np.clip(0.8 + 0.3 * lines, 0, 1)).astype(np.float32)[..., None]


def paint_face(identity: Identity, points: Points, textures: Textures) -> np.ndarray:
    """The face of one frame on its texture, (TEXTURE, TEXTURE, 3).

    Args:
        points: where the features are, from ``contour_points``.
    """
    face = textures.skin.copy()
    _paint_nostrils(face, identity, points)
    face = _paint_eyes(face, identity, points)
    for brow in (Component.LEFT_BROW, Component.RIGHT_BROW):
        outline = [points[int(i)] for i in RINGS[brow]]
        face = _lay(face, identity.face.brow, _cover(outline, blur=1.2) * 0.92)
    face = _paint_mouth(face, identity, points)
    if identity.glasses is not None:
        _paint_glasses(face, identity, identity.glasses)
    return _lay(face, textures.hair, textures.hair_mask)


def _paint_nostrils(face: np.ndarray, identity: Identity, points: Points) -> None:
    width, skin = identity.shape.nose_width, identity.face.skin
    base = points[int(RINGS[Component.NOSE][12])][1] - 0.012
    for side in (-1, 1):
        _oval(face, (side * width * 0.45, base), (width * 0.24, 0.018), skin * 0.35)


def _paint_eyes(face: np.ndarray, identity: Identity, points: Points) -> np.ndarray:
    look, shape = identity.face, identity.shape
    for eye, centre in ((Component.RIGHT_EYE, 468), (Component.LEFT_EYE, 473)):
        ring = [int(i) for i in RINGS[eye]]
        opening = _cover([points[i] for i in ring])
        ball = np.ones_like(face) * np.array([0.93, 0.92, 0.9], np.float32)
        x, y = points[centre]
        for share, shade in ((1.0, look.eye * 0.5), (0.84, look.eye), (0.45, np.full(3, 0.02))):
            _disc(ball, (x, y), shape.iris * share, shade)
        _disc(ball, (x - 0.02, y - 0.022), shape.iris * 0.2, np.ones(3))
        shadow = cv2.GaussianBlur(opening[..., 0], (0, 0), 4)[..., None]
        face = _lay(face, ball * np.clip(0.45 + 0.6 * shadow, 0, 1), opening)
        upper = np.array([points[ring[k]] for k in (*range(8, 16), 0)])
        lower = np.array([points[ring[k]] for k in range(9)])
        crease = upper - np.array([0, 0.045])
        for line, colour, width in (
            (upper, _colour(look.brow, 0.35), 5),
            (lower, _colour(look.skin, 0.62), 1),
            (crease, _colour(look.skin, 0.75), 1),
        ):
            cv2.polylines(face, [_fixed(line)], False, colour, width, cv2.LINE_8, _SHIFT)
    return face


def _paint_mouth(face: np.ndarray, identity: Identity, points: Points) -> np.ndarray:
    def outline(rings: tuple[tuple[int, ...], tuple[int, ...]]) -> list[tuple[float, float]]:
        return [points[i] for i in (*rings[0], *rings[1][-2:0:-1])]

    lip = identity.face.lip
    face = _lay(face, lip, _cover(outline(OUTER_MOUTH_RINGS), blur=1.0))
    cavity = np.ones_like(face) * np.array([0.22, 0.05, 0.06], np.float32)
    edge = np.array([points[i] for i in INNER_MOUTH_RINGS[0]])
    teeth = np.concatenate([edge, edge[::-1] + np.array([0, 0.05])]) * np.array([0.9, 1])
    cv2.fillPoly(cavity, [_fixed(teeth)], (0.9, 0.88, 0.84), cv2.LINE_8, _SHIFT)
    tongue = (0.0, points[INNER_MOUTH_RINGS[1][5]][1] + 0.01)
    _oval(cavity, tongue, (identity.shape.mouth_width * 0.5, 0.06), np.array([0.72, 0.3, 0.3]))
    face = _lay(face, cavity, _cover(outline(INNER_MOUTH_RINGS)))
    cv2.polylines(face, [_fixed(edge)], False, _colour(lip, 0.45), 2, cv2.LINE_8, _SHIFT)
    return face


def _paint_glasses(face: np.ndarray, identity: Identity, glasses: Glasses) -> None:
    shape, colour, radius = identity.shape, _colour(glasses.colour), glasses.radius
    corners: list[tuple[float, float]]
    for side in (-1, 1):
        x, y = side * shape.eye_x, shape.eye_y + 0.01
        if glasses.square:
            corners = [(-1, -0.75), (1, -0.75), (0.9, 0.75), (-0.9, 0.75)]
        else:
            corners = [(float(np.cos(a)), float(0.9 * np.sin(a))) for a in np.linspace(0, 6.28, 28)[:-1]]
        rim = [(x + radius * dx, y + radius * dy) for dx, dy in corners]
        thickness = max(2, int(glasses.thickness / EXTENT * 0.5 * TEXTURE))
        cv2.polylines(face, [_fixed(rim)], True, colour, thickness, cv2.LINE_8, _SHIFT)
        hinge = (side * (shape.eye_x + radius), shape.eye_y - 0.03)
        temple = (side * shape.half_width * 0.98, shape.eye_y - 0.06)
        cv2.line(face, _point(hinge), _point(temple), colour, 3, cv2.LINE_8, _SHIFT)
    inner = shape.eye_x - radius
    cv2.line(face, _point((-inner, shape.eye_y)), _point((inner, shape.eye_y)), colour, 3, cv2.LINE_8, _SHIFT)
