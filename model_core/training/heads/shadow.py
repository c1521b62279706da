"""How much light reaches each vertex: soft shadows of three lamps, and of the sky (ambient occlusion).

Depth is drawn from many directions around each lamp and all around the head; a vertex is lit from those in which
nothing lies before it. The same directions serve every frame, so shadows do not flicker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .render import Renderer
from .scene import Lighting, Surface, vertex_normals

_REACH = 21.0  # cm around the middle within which shadows fall
_MIDDLE = np.array([0.0, 0.0, 1.0], np.float32)
_DEEP = 40.0
_LIFT = 0.12  # cm off the surface, so that it does not shade itself
_BIAS = 0.10
_SMOOTHING = 2


def with_shadows(
    renderer: Renderer,
    surfaces: Sequence[Surface],
    lighting: Lighting,
    *,
    casters: Sequence[Surface] | None = None,
    lamp_samples: int = 12,
    sky_samples: int = 64,
    softness: float = 0.28,
    side: int = 512,
) -> list[Surface]:
    """The surfaces with their ``light``.

    Args:
        casters: what throws shadows; None is all of them.
        lamp_samples, sky_samples: directions for each lamp, and for the sky.
        softness: how wide a lamp is, in radians.
        side: of the depth maps, in pixels.
    """
    positions, triangles = _joined(surfaces if casters is None else casters)
    lamps = [_around(lamp, lamp_samples, softness) for lamp in lighting.lamps]
    directions = np.concatenate([*lamps, _sphere(sky_samples)]).astype(np.float32)
    views = [_view(direction) for direction in directions]
    depths = renderer.depth_along(positions, triangles, views, side=side)
    made = []
    for surface in surfaces:
        normals = (
            surface.normals if surface.normals is not None else vertex_normals(surface.positions, surface.triangles)
        )
        points = surface.positions + normals * _LIFT
        seen = np.stack([_visible(points, view, depth) for view, depth in zip(views, depths, strict=True)], axis=1)
        groups = np.split(seen, np.arange(1, 4) * lamp_samples, axis=1)
        facing = np.maximum(normals @ directions[3 * lamp_samples :].T, 0.0) + 0.02
        open_sky = (groups[3] * facing).sum(axis=1) / facing.sum(axis=1)
        light = np.stack([*(group.mean(axis=1) for group in groups[:3]), open_sky], axis=1)
        made.append(replace(surface, light=_smoothed(light, surface).astype(np.float32)))
    return made


def _joined(surfaces: Sequence[Surface]) -> tuple[np.ndarray, np.ndarray]:
    starts = np.cumsum([0, *(len(surface.positions) for surface in surfaces)])
    triangles = [surface.triangles + start for surface, start in zip(surfaces, starts[:-1], strict=True)]
    return np.concatenate([surface.positions for surface in surfaces]), np.concatenate(triangles)


def _sphere(count: int) -> np.ndarray:
    """Directions spread evenly (Fibonacci's spiral)."""
    height = 1 - (2 * np.arange(count) + 1) / count
    turn = np.arange(count) * np.pi * (3 - np.sqrt(5))
    flat = np.sqrt(1 - height**2)
    return np.stack([flat * np.cos(turn), height, flat * np.sin(turn)], axis=1)


def _around(lamp: np.ndarray, count: int, softness: float) -> np.ndarray:
    """Directions in a cone, evenly."""
    axis = lamp / np.linalg.norm(lamp)
    side = np.cross(axis, (0.3, 1.0, 0.2))
    side /= np.linalg.norm(side)
    turn = np.arange(count) * np.pi * (3 - np.sqrt(5))
    out = softness * np.sqrt((np.arange(count) + 0.5) / count)
    spread = np.cos(turn)[:, None] * side + np.sin(turn)[:, None] * np.cross(axis, side)
    made = axis + np.tan(out)[:, None] * spread
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True))


def _view(direction: np.ndarray) -> np.ndarray:
    """(4, 4) orthographic, looking from ``direction`` at the head."""
    side = np.cross((0.0, 1.0, 0.01), direction)
    side /= np.linalg.norm(side)
    turn = np.stack([side, np.cross(direction, side), direction])
    made = np.eye(4, dtype=np.float32)
    made[:3, :3] = turn / np.array([[_REACH], [_REACH], [-_DEEP]])
    made[:3, 3] = -made[:3, :3] @ _MIDDLE
    return made


def _visible(points: np.ndarray, view: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """(V,) in [0, 1]; four neighbouring places of the depth map are asked, beyond its edge all is lit."""
    placed = points @ view[:3, :3].T + view[:3, 3]
    side = len(depth)
    x, y = ((placed[:, axis] * 0.5 + 0.5) * side - 0.5 for axis in (0, 1))
    column, row = np.floor(x).astype(int), np.floor(y).astype(int)
    outside = (column < 0) | (row < 0) | (column > side - 2) | (row > side - 2)
    column, row = column.clip(0, side - 2), row.clip(0, side - 2)
    near, low = (x - column).clip(0, 1), (y - row).clip(0, 1)
    lit = [placed[:, 2] < depth[row + j, column + i] + _BIAS / _DEEP for j in (0, 1) for i in (0, 1)]
    top = lit[0] * (1 - near) + lit[1] * near
    bottom = lit[2] * (1 - near) + lit[3] * near
    return np.where(outside, 1.0, top * (1 - low) + bottom * low).astype(np.float32)


def _smoothed(light: np.ndarray, surface: Surface) -> np.ndarray:
    """Averaged over neighbouring vertices, but for strands, which have none."""
    if surface.kind == "strands":
        return light
    first = surface.triangles.ravel()
    second = surface.triangles[:, [1, 2, 0]].ravel()
    count = np.maximum(np.bincount(first, minlength=len(light)), 1)[:, None]
    for _ in range(_SMOOTHING):
        around = np.stack(
            [np.bincount(first, light[second, channel], minlength=len(light)) for channel in range(4)], axis=1
        )
        light = np.where(np.isin(np.arange(len(light)), first)[:, None], (light + around / count) / 2, light)
    return light
