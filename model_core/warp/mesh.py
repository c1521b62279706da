"""The flow of a triangle mesh: where each pixel of a frame lies in the picture that is carried to it.

Triangles are painted far to near, so that each pixel knows the triangle it belongs to, and each triangle moves its
pixels by one affine map. The flow is exact at every vertex by construction, needs no training and no particular
resolution: it is sampled on a grid of any step and enlarged.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

_SHIFT = 4  # bits of sub-pixel position handed to OpenCV
_FAR = 2**20  # pixels: far outside any picture, well inside int32 after the shift
_FLAT = 1e-4  # pixels squared: a thinner triangle has no map of its own
_THIN = 0.05  # pixels squared: a thinner one is not painted; its neighbours reach over it


@dataclass(frozen=True)
class MeshFlows:
    """Where the pixels of some frames come from, on one device.

    Attributes:
        source: (2, F, h, w) float32, x and y in continuous pixels of the picture (the first pixel's centre is at 0.5),
            one for every grid point; a point that no triangle covers stays where it is.
        stretch: (F, h, w) float32 >= 0, how many pixels of the picture fall on one of the frame along the direction in
            which they are fewest: 1 where nothing is stretched, 0.5 where it is enlarged twice, 0 where the picture
            does not show the triangle at all. 1 where no triangle is.
        triangle: (F, h, w) int32, the triangle a grid point belongs to, -1 for none.
    """

    source: Tensor
    stretch: Tensor
    triangle: Tensor


@dataclass(frozen=True)
class MeshFlow:
    """``MeshFlows`` of one frame as arrays: source (h, w, 2), stretch (h, w) and triangle (h, w)."""

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
    """``mesh_flows`` of one frame, whose vertices are ``target`` (V, 3)."""
    made = mesh_flows(target[None], source, triangles, size=size, step=step, two_sided=two_sided)
    return MeshFlow(made.source[:, 0].permute(1, 2, 0).numpy(), made.stretch[0].numpy(), made.triangle[0].numpy())


def mesh_flows(
    targets: np.ndarray,
    source: np.ndarray,
    triangles: np.ndarray,
    *,
    size: tuple[int, int],
    step: float = 1.0,
    two_sided: int = 0,
    device: torch.device | str = "cpu",
) -> MeshFlows:
    """The flows that carry a mesh from a picture to frames: triangles are drawn by OpenCV, the rest is on the device.

    Args:
        targets: (F, V, 3) vertices in continuous pixels of the frame, z away from the viewer.
        source: (V, 3) the same vertices in the picture.
        triangles: (T, 3) vertices; clockwise on the screen where they face the viewer. Those that face away are not
            painted: the far cheek of a turned head stays behind the near one.
        size: (h, w) of the grid.
        step: pixels of the frame from one grid point to the next.
        two_sided: number of triangles, from the first, that are painted from both sides.
    """
    corners, origin = targets[:, triangles], source[triangles][..., :2]
    drawn = [_paint(frame[..., :2] / step, _far_to_near(frame, two_sided), size) for frame in corners]
    triangle = torch.from_numpy(np.stack(drawn)).to(device)
    table = torch.from_numpy(_table(corners[..., :2], origin, step)).to(device)
    first = torch.arange(len(targets), device=device)[:, None, None] * table.shape[-1]
    rows = torch.where(triangle < 0, len(triangles), triangle) + first
    own = table.flatten(1).index_select(1, rows.flatten()).unflatten(1, triangle.shape)
    x, y = ((torch.arange(count, device=device) + 0.5) * step for count in (size[1], size[0]))
    flow = torch.empty((2, *triangle.shape), device=device)
    for axis, moved in enumerate(flow):
        torch.mul(own[3 * axis], x, out=moved)
        moved += own[3 * axis + 1] * y[:, None]
        moved += own[3 * axis + 2]
        # a painted edge reaches half a grid point beyond its triangle: in a thin one that leads far outside
        torch.clamp(moved, own[6 + axis], own[8 + axis], out=moved)
    return MeshFlows(flow, own[10], triangle)


def _table(target: np.ndarray, source: np.ndarray, step: float) -> np.ndarray:
    """What is known of every triangle of every frame, (11, F, T + 1) float32; the last one is that of no triangle.

    The map from frame to picture (6 rows), where it may lead at least (x, y) and at most, and its stretch.
    """
    maps, stretch = _affine_maps(target, source)
    limits = np.concatenate([source.min(axis=1) - step, source.max(axis=1) + step], axis=1)
    limits = np.broadcast_to(limits, (len(target), *limits.shape))
    known = np.concatenate([maps, limits, stretch[..., None]], axis=-1)
    none = np.array([1, 0, 0, 0, 1, 0, -_FAR, -_FAR, _FAR, _FAR, 1], np.float64)
    known = np.concatenate([known, np.broadcast_to(none, (len(target), 1, len(none)))], axis=1)
    return np.ascontiguousarray(np.moveaxis(known, -1, 0), np.float32)


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
    """Per frame and triangle the map from frame to picture, (F, T, 6), and its least stretch, (F, T).

    Args:
        target: (F, T, 3, 2).
        source: (T, 3, 2).
    """
    edges, moved = target[:, :, 1:] - target[:, :, :1], source[:, 1:] - source[:, :1]
    area = edges[..., 0, 0] * edges[..., 1, 1] - edges[..., 0, 1] * edges[..., 1, 0]
    area = np.where(np.abs(area) < _FLAT, np.where(area < 0, -_FLAT, _FLAT), area)
    inverse = np.stack([edges[..., 1, 1], -edges[..., 0, 1], -edges[..., 1, 0], edges[..., 0, 0]], axis=-1)
    inverse = inverse.reshape(*area.shape, 2, 2) / area[..., None, None]
    linear = np.swapaxes(inverse @ moved, -1, -2)  # picture = linear @ frame + shift
    shift = source[:, 0] - np.einsum("ftij,ftj->fti", linear, target[:, :, 0])
    determinant = linear[..., 0, 0] * linear[..., 1, 1] - linear[..., 0, 1] * linear[..., 1, 0]
    power = np.square(linear).sum(axis=(-2, -1))
    largest = np.sqrt((power + np.sqrt(np.maximum(power**2 - 4 * determinant**2, 0))) / 2)
    least = np.maximum(determinant, 0) / np.maximum(largest, 1e-6)  # a mirrored triangle shows its back
    return np.concatenate([linear, shift[..., None]], axis=-1).reshape(*area.shape, 6), least
