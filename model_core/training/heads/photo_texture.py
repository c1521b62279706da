"""A photograph's colours on the head that was fitted to it.

Texels that the photograph shows take its colours; those whose mirror image it shows take the fine structure of that,
in the colours of their own side; the others continue what is around them. Light stays in the colours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from ...motion.components import INNER_MOUTH_RINGS, RINGS
from ...types import Component
from .atlas import Atlas, filled
from .fit import HeadFit
from .ict import Head
from .landmarks import mesh_points
from .paint import FIRST_INSIDE
from .render import Renderer, radiance
from .scene import vertex_normals

_GRAZING = (0.12, 0.45)
"""Cosines between surface and view: below the one nothing is taken, above the other all."""
_DEPTH_SIDE = 1024
_BEHIND = 0.35  # cm behind what is drawn first that still counts as seen
_WARP_REACH = 2.5  # cm around a landmark within which what the fit left of it moves the colours
_WARP_TRUST = 0.05
_STRUCTURE = 24.0
"""Texels; what is finer is structure, what is coarser is colour and light."""
_EYE_MARGIN, _MOUTH_MARGIN = 0.014, 0.008
"""Shares of the face's height by which openings of eyes and mouth are widened: lashes and wet rims are no skin."""
_CHIN = -9.0  # cm
_OPEN = 0.012
"""Between the lips, from which on a mouth is open; a share of the face's height."""


@dataclass(frozen=True)
class Photograph:
    """A photograph, cut so that a face stands in it as in a portrait.

    Attributes:
        pixels: (S, S, 3) uint8 sRGB.
        landmarks: (478, 3) in its pixels.
        person: (S, S) float32, 1 on the person.
        name: of the file.
    """

    pixels: np.ndarray
    landmarks: np.ndarray
    person: np.ndarray
    name: str = ""

    @property
    def face_height(self) -> float:
        return float(np.ptp(self.landmarks[:, 1]))


@dataclass(frozen=True)
class SkinSample:
    """What a photograph says of the skin, by texel of the atlas.

    Attributes:
        colour: (K, 3) float32, linear.
        weight: (K,) in [0, 1], how well it is seen.
    """

    colour: np.ndarray
    weight: np.ndarray


def paint_from_photograph(
    renderer: Renderer, head: Head, atlas: Atlas, photo: Photograph, fit: HeadFit, *, neck: bool = True
) -> np.ndarray:
    """(SIDE, 2 * SIDE, 3) float32 linear: the two tiles of skin; row 0 is lowest.

    Args:
        neck: whether what the photograph shows below the chin is taken, such as a collar.
    """
    own = sample_skin(renderer, head, atlas, photo, fit, atlas.at_texels)
    wanted = np.ones_like(own.weight) if neck else atlas.at_texels(head.neutral)[:, 1] > _CHIN
    weight = atlas.spread((own.weight * wanted)[:, None])[..., 0]
    base = filled(atlas.spread(own.colour), weight)
    other = sample_skin(renderer, head, atlas, photo, fit, lambda values: atlas.at_texels(values[atlas.mirror]))
    seen = atlas.spread((other.weight * wanted)[:, None])[..., 0]
    mirrored = filled(atlas.spread(other.colour), seen)
    coarse = cv2.GaussianBlur(mirrored, (0, 0), _STRUCTURE)
    ratio = np.log(np.maximum(mirrored, 1e-3)) - np.log(np.maximum(coarse, 1e-3))
    share = (seen * (1 - weight))[..., None]
    return np.asarray(base * np.exp(ratio.clip(-1, 1) * share), np.float32)


def sample_skin(
    renderer: Renderer,
    head: Head,
    atlas: Atlas,
    photo: Photograph,
    fit: HeadFit,
    at_texels: Callable[[np.ndarray], np.ndarray],
) -> SkinSample:
    """The photograph as the texels see it.

    Args:
        at_texels: from values (V, C) by vertex to (K, C): of the texels themselves, or of their mirror images.
    """
    posed = fit.posed(head)
    normals = vertex_normals(posed, np.concatenate([atlas.source[atlas.triangles], atlas.inside]))
    places = fit.camera.project(posed) + _left_over(head, photo, fit)
    view = fit.camera.place - posed
    facing = (normals * view).sum(axis=1) / np.linalg.norm(view, axis=1)
    visible = _visible(renderer, head, posed, fit)
    point, known = at_texels(places), at_texels(np.stack([facing, visible], axis=1))
    taken = photo_skin(photo)
    low, high = _GRAZING
    weight = ((known[:, 0] - low) / (high - low)).clip(0, 1) * (known[:, 1] > 0.95)
    inside = ((point > 1) & (point < np.array(photo.pixels.shape[1::-1]) - 1)).all(axis=1)
    x, y = (np.ascontiguousarray(point[:, axis] - 0.5, np.float32) for axis in range(2))
    light = radiance(photo.pixels.astype(np.float32) / 255)
    colour = _looked_up(light, x, y, cv2.INTER_CUBIC)
    skin = _looked_up(taken, x, y, cv2.INTER_LINEAR)
    return SkinSample(np.maximum(colour, 1e-4), weight * inside * skin)


def _looked_up(picture: np.ndarray, x: np.ndarray, y: np.ndarray, way: int) -> np.ndarray:
    """(K, ...) of a picture (H, W, ...) at K points; OpenCV's maps have at most 32767 rows."""
    wide = 1024
    count = -len(x) % wide
    maps = [np.pad(part, (0, count)).reshape(-1, wide) for part in (x, y)]
    found = cv2.remap(picture, maps[0], maps[1], way, borderMode=cv2.BORDER_REPLICATE)
    return found.reshape(-1, *picture.shape[2:])[: len(x)]


def photo_skin(photo: Photograph) -> np.ndarray:
    """(S, S) float32: 1 on the person, 0 in the openings of eyes and mouth and around them."""
    shape, unit = photo.person.shape, photo.face_height
    made = (photo.person > 0.5).astype(np.float32)
    opened = np.zeros(shape, np.uint8)
    for eye in (Component.LEFT_EYE, Component.RIGHT_EYE):
        _fill(opened, photo.landmarks[RINGS[eye]], _EYE_MARGIN * unit)
    upper, lower = (photo.landmarks[list(ring), :2] for ring in INNER_MOUTH_RINGS)
    if np.linalg.norm(upper - lower, axis=1).max() > _OPEN * unit:
        _fill(opened, photo.landmarks[RINGS[Component.INNER_MOUTH]], _MOUTH_MARGIN * unit)
    soft = cv2.GaussianBlur(opened.astype(np.float32), (0, 0), max(0.004 * unit, 0.5))
    border = cv2.erode(made, np.ones((3, 3), np.uint8), iterations=max(round(0.012 * unit), 1))
    return np.asarray(border * (1 - soft), np.float32)


def _fill(mask: np.ndarray, outline: np.ndarray, margin: float) -> None:
    points = np.rint(outline[:, :2] * 16 - 8).astype(np.int32)
    cv2.fillPoly(mask, [points], 1, cv2.LINE_8, 4)
    cv2.polylines(mask, [points], True, 1, max(round(2 * margin), 1), cv2.LINE_8, 4)


def _left_over(head: Head, photo: Photograph, fit: HeadFit) -> np.ndarray:
    """(V, 2) in pixels: where the fit misses landmarks, colours are looked up where they are (smoothed, Gaussian)."""
    points = mesh_points()
    seen = photo.landmarks[:468, :2] - fit.camera.project(points.of(fit.posed(head)))[:468]
    marks, skin = points.of(head.neutral)[:468], head.neutral[:FIRST_INSIDE]
    strength = np.linalg.solve(_near(marks, marks) + _WARP_TRUST * np.eye(len(marks)) * len(marks) / 20, seen)
    made = np.zeros((len(head.neutral), 2), np.float32)
    made[:FIRST_INSIDE] = _near(skin, marks) @ strength
    return made


def _near(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    squares = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1)[None] - 2 * first @ second.T
    return np.asarray(np.exp(-np.maximum(squares, 0) / (2 * (_WARP_REACH / 2) ** 2)))


def _visible(renderer: Renderer, head: Head, posed: np.ndarray, fit: HeadFit) -> np.ndarray:
    """(V,) 1 where nothing lies before a vertex."""
    matrix = fit.camera.matrix()
    depth = renderer.depth_along(posed, head.triangles("M_Face", "M_BackHead"), [matrix], side=_DEPTH_SIDE)[0]
    nearer = posed + (fit.camera.place - posed) * (_BEHIND / fit.camera.distance)
    clip = np.concatenate([nearer, np.ones((len(posed), 1))], axis=1) @ matrix.T
    x, y, z = (clip[:, :3] / clip[:, 3:]).T
    column, row = (((part * 0.5 + 0.5) * _DEPTH_SIDE).astype(int).clip(0, _DEPTH_SIDE - 1) for part in (x, y))
    return (z < depth[row, column]).astype(np.float32)
