"""The flow of a triangle mesh: where each pixel of a frame lies in the picture that is carried to it.

Triangles are painted far to near, so that each pixel knows the triangle it belongs to, and each triangle moves its
pixels by one affine map. The flow is exact at every vertex by construction, needs no training and no particular
resolution: it is sampled on a grid of any step and enlarged.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

_SHIFT = 4  # bits of sub-pixel position handed to OpenCV
_FAR = 2**20  # pixels: far outside any picture, well inside int32 after the shift
_FLAT = 1e-4  # pixels squared: a thinner triangle has no map of its own
_THIN = 0.05  # pixels squared: a thinner one is not painted; its neighbours reach over it


@dataclass(frozen=True)
class MeshFlow:
    """Where the pixels of a frame come from.

    Attributes:
        source: (h, w, 2) float32, x and y in continuous pixels of the picture (the first pixel's centre is at 0.5),
            one for every grid point; a point that no triangle covers stays where it is.
        stretch: (h, w) float32 >= 0, how many pixels of the picture fall on one of the frame along the direction in
            which they are fewest: 1 where nothing is stretched, 0.5 where it is enlarged twice, 0 where the picture
            does not show the triangle at all. 1 where no triangle is.
        triangle: (h, w) int32, the triangle a grid point belongs to, -1 for none.
    """

    source: np.ndarray
    stretch: np.ndarray
    triangle: np.ndarray


def mesh_flow(
    target: np.ndarray,
    source: np.ndarray,
    triangles: np.ndarray,
    *,
    size: tuple[int, int],
    step: float = 1.0,
    two_sided: int = 0,
) -> MeshFlow:
    """The flow that carries a mesh from a picture to a frame.

    Args:
        target: (V, 3) vertices in continuous pixels of the frame, z away from the viewer.
        source: (V, 3) the same vertices in the picture.
        triangles: (T, 3) vertices; clockwise on the screen where they face the viewer. Those that face away are not
            painted: the far cheek of a turned head stays behind the near one.
        size: (h, w) of the grid.
        step: pixels of the frame from one grid point to the next.
        two_sided: number of triangles, from the first, that are painted from both sides.
    """
    corners = target[triangles]
    order = _far_to_near(corners, two_sided)
    triangle = _paint(corners[..., :2] / step, order, size)
    origin = source[triangles][..., :2]
    maps, stretch = _affine_maps(corners[..., :2], origin)
    # the last row is that of no triangle
    maps = np.concatenate([maps, np.array([[1, 0, 0, 0, 1, 0]], np.float32)])
    limits = np.concatenate([origin.min(axis=1) - step, origin.max(axis=1) + step], axis=1).astype(np.float32)
    limits = np.concatenate([limits, np.array([[-_FAR, -_FAR, _FAR, _FAR]], np.float32)])
    stretch = np.append(stretch, np.float32(1))
    x = ((np.arange(size[1], dtype=np.float32) + 0.5) * step)[None]
    y = ((np.arange(size[0], dtype=np.float32) + 0.5) * step)[:, None]
    own, limit = maps[triangle], limits[triangle]
    flow = np.empty((*size, 2), np.float32)
    for axis in (0, 1):
        moved = own[..., 3 * axis] * x + own[..., 3 * axis + 1] * y + own[..., 3 * axis + 2]
        # a painted edge reaches half a grid point beyond its triangle: in a thin one that leads far outside
        np.clip(moved, limit[..., axis], limit[..., axis + 2], out=flow[..., axis])
    return MeshFlow(flow, stretch[triangle], triangle)


def _far_to_near(corners: np.ndarray, two_sided: int) -> np.ndarray:
    """Numbers of the triangles that are painted, the farthest first."""
    first, second = corners[:, 1, :2] - corners[:, 0, :2], corners[:, 2, :2] - corners[:, 0, :2]
    area = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    facing = area > _THIN
    facing[:two_sided] = np.abs(area[:two_sided]) > _THIN
    order = np.argsort(-corners[..., 2].mean(axis=1), kind="stable")
    return order[facing[order]]


def _paint(corners: np.ndarray, order: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(h, w) int32: the nearest triangle at every grid point, -1 for none."""
    canvas = np.full(size, -1, np.int32)
    # OpenCV's whole numbers are pixel centres
    fixed = np.rint(np.clip(corners[order] - 0.5, -_FAR, _FAR) * (1 << _SHIFT)).astype(np.int32)
    seen = ((fixed.max(axis=1) >= 0) & (fixed.min(axis=1) <= np.array(size[::-1]) << _SHIFT)).all(axis=1)
    for number, polygon in zip(order[seen].tolist(), fixed[seen], strict=True):
        cv2.fillConvexPoly(canvas, polygon, number, cv2.LINE_8, _SHIFT)
    return canvas


def _affine_maps(target: np.ndarray, source: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per triangle the map from frame to picture, (T, 6) float32, and its least stretch, (T,) float32.

    Args:
        target, source: (T, 3, 2).
    """
    edges, moved = target[:, 1:] - target[:, :1], source[:, 1:] - source[:, :1]
    area = edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0]
    area = np.where(np.abs(area) < _FLAT, np.where(area < 0, -_FLAT, _FLAT), area)
    inverse = np.stack([edges[:, 1, 1], -edges[:, 0, 1], -edges[:, 1, 0], edges[:, 0, 0]], axis=1)
    inverse = inverse.reshape(-1, 2, 2) / area[:, None, None]
    linear = (inverse @ moved).transpose(0, 2, 1)  # picture = linear @ frame + shift
    shift = source[:, 0] - np.einsum("tij,tj->ti", linear, target[:, 0])
    determinant = linear[:, 0, 0] * linear[:, 1, 1] - linear[:, 0, 1] * linear[:, 1, 0]
    power = np.square(linear).sum(axis=(1, 2))
    largest = np.sqrt((power + np.sqrt(np.maximum(power**2 - 4 * determinant**2, 0))) / 2)
    least = np.maximum(determinant, 0) / np.maximum(largest, 1e-6)  # a mirrored triangle shows its back
    maps = np.concatenate([linear, shift[..., None]], axis=2).reshape(-1, 6)
    return maps.astype(np.float32), least.astype(np.float32)
