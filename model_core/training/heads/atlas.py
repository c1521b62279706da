"""The skin's texture coordinates as a picture: which point of the mesh every texel is.

ICT-FaceKit unfolds face, ears and neck into one tile and the back of the head into the next. A third tile here is for
what surrounds a head in a photograph, see ``surroundings.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .ict import Head
from .paint import FIRST_INSIDE

SIDE = 768
"""Pixels of a tile, along each side."""
TILES = 3
SURROUNDINGS = 2
"""The number of the tile that no skin has."""


@dataclass(frozen=True)
class Atlas:
    """The outer skin, cut open along its seams, and its texels.

    Attributes:
        source: (N,) int64, the vertex of the mesh that each vertex of the cut skin is.
        places: (N, 3) float32, its place among the tiles, from 0 to ``TILES`` and 0 to 1; the last is 0.
        triangles: (T, 3) int32, of the cut skin.
        inside: (t, 3) int32, of the mesh: the mouth's inside and eye sockets, which no photograph shows.
        texels: (K, 2) int64, row from below and column of each texel that is skin.
        corners: (K, 3) int64, the three vertices of the mesh around it.
        weights: (K, 3) float32, which sum to 1.
        mirror: (V,) int64, the vertex opposite each one of the mesh.
    """

    source: np.ndarray
    places: np.ndarray
    triangles: np.ndarray
    inside: np.ndarray
    texels: np.ndarray
    corners: np.ndarray
    weights: np.ndarray
    mirror: np.ndarray

    def at_texels(self, values: np.ndarray) -> np.ndarray:
        """(K, C) of values (V, C) by vertex."""
        return np.asarray(np.einsum("kcx,kc->kx", values[self.corners].astype(np.float32), self.weights))

    def spread(self, values: np.ndarray) -> np.ndarray:
        """(SIDE, 2 * SIDE, C) float32 of values (K, C) by texel, 0 elsewhere."""
        made = np.zeros((SIDE, 2 * SIDE, values.shape[1]), np.float32)
        made[self.texels[:, 0], self.texels[:, 1]] = values
        return made


def skin_atlas(head: Head) -> Atlas:
    """The atlas of a head; two seconds, so make it once."""
    chosen = np.isin(head.material, [head.materials.index(name) for name in ("M_Face", "M_BackHead")])
    outer = chosen & (head.faces < FIRST_INSIDE).all(axis=1)
    both = np.stack([head.faces[outer].ravel(), head.faces_uv[outer].ravel()], axis=1)
    pairs, numbers = np.unique(both, axis=0, return_inverse=True)
    triangles = numbers.reshape(-1, 3).astype(np.int32)
    places = np.zeros((len(pairs), 3), np.float32)
    places[:, :2] = head.uv[pairs[:, 1]]
    texels, triangle, weights = _drawn(places[triangles][..., :2] * SIDE)
    return Atlas(
        source=pairs[:, 0].astype(np.int64),
        places=places,
        triangles=triangles,
        inside=head.faces[chosen & ~outer],
        texels=texels,
        corners=pairs[:, 0][triangles[triangle]].astype(np.int64),
        weights=weights,
        mirror=_mirror(head.neutral),
    )


def _drawn(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Texels of flat triangles (T, 3, 2) in pixels: (K, 2) row and column, (K,) triangle, (K, 3) weights."""
    number = np.zeros((SIDE, 2 * SIDE), np.int32)
    fixed = np.rint((corners - 0.5) * 16).astype(np.int32)
    for index, triangle in enumerate(fixed):
        cv2.fillConvexPoly(number, triangle, index + 1, cv2.LINE_8, 4)
    row, column = np.nonzero(number)
    triangle = number[row, column] - 1
    a, b, c = (corners[triangle, corner].astype(np.float64) for corner in range(3))
    at = np.stack([column, row], axis=1) + 0.5
    whole = _cross(b - a, c - a)
    whole = np.where(abs(whole) < 1e-9, 1e-9, whole)
    second, third = _cross(at - a, c - a) / whole, _cross(b - a, at - a) / whole
    weights = np.stack([1 - second - third, second, third], axis=1).clip(0, 1)  # OpenCV also fills the border
    weights /= weights.sum(axis=1, keepdims=True)
    return np.stack([row, column], axis=1), triangle, weights.astype(np.float32)


def _cross(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.asarray(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0])


def _mirror(rest: np.ndarray) -> np.ndarray:
    """(V,): for each vertex of the symmetrical head at rest, the one nearest to its image."""
    made = np.arange(len(rest))
    skin = rest[:FIRST_INSIDE]
    wanted = skin * np.array([-1, 1, 1], np.float32)
    squares = (skin**2).sum(axis=1)
    for start in range(0, len(skin), 1024):
        part = slice(start, start + 1024)
        made[part][: len(wanted[part])] = (squares[None] - 2 * wanted[part] @ skin.T).argmin(axis=1)
    return made


def filled(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Values (H, W, C) where the weight (H, W) is 1; where it is less, the smooth continuation of those around.

    Pulls weighted means up a pyramid and pushes them down again (Gortler et al., "The Lumigraph", 1996).
    """
    return _filled(values.astype(np.float32) * weight[..., None].astype(np.float32), weight.astype(np.float32))


def _filled(sums: np.ndarray, weight: np.ndarray) -> np.ndarray:
    mean = sums / np.maximum(weight, 1e-6)[..., None]
    if min(weight.shape) <= 2:
        total = max(float(weight.sum()), 1e-6)
        middle = sums.sum(axis=(0, 1)) / total
        share = np.minimum(weight, 1)[..., None]
        return np.asarray(mean * share + middle * (1 - share), np.float32)
    size = ((weight.shape[1] + 1) // 2, (weight.shape[0] + 1) // 2)
    channels = sums.shape[2]  # OpenCV drops a single one
    smaller, coarse = cv2.pyrDown(sums, dstsize=size).reshape(*size[::-1], channels), cv2.pyrDown(weight, dstsize=size)
    full = np.maximum(coarse, 1e-6) / np.minimum(2 * coarse, 1).clip(1e-6)  # half a weight is enough to know a value
    below = _filled(smaller / full[..., None], coarse / full)
    above = cv2.pyrUp(below, dstsize=weight.shape[::-1]).reshape(*weight.shape, channels)
    share = np.minimum(weight, 1)[..., None]
    return np.asarray(mean * share + above * (1 - share), np.float32)
