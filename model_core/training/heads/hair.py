"""Hair: strands that grow from the scalp and fall around the head.

It is made once for a head at rest, from a seed, and turns with the head.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .ict import Head
from .paint import FIRST_INSIDE, Colour, hairline
from .scene import Surface, vertex_normals

_MIDDLE = np.array([0.0, 4.5, -0.5], np.float32)
_BINS = (48, 96)
_EARS = 7.7
"""Further from the middle (cm) than this, a head at rest has only ears; hair does not keep off them."""
_NECK = -4.0
"""Below this (cm) hair hangs free."""


@dataclass(frozen=True)
class Style:
    """How hair grows.

    Attributes:
        length: of a strand in cm, and how much it varies.
        colour: linear.
        strands, points: how many, and points along each.
        parting: x in cm of the parting; None combs everything back.
        volume: cm that the hair stands off the head.
        wave: cm that strands swing to the sides, and how often in 10 cm.
        width: of a strand in cm.
        stiffness: in [0, 1), how much a strand keeps its direction against gravity.
        lift: how much it leaves the scalp at its root.
        sides: length around the ears and at the nape, as a share of that on top.
    """

    length: tuple[float, float] = (21.0, 1.2)
    colour: Colour = (0.09, 0.045, 0.022)
    strands: int = 14000
    points: int = 26
    parting: float | None = 2.2
    volume: float = 1.1
    wave: tuple[float, float] = (0.3, 0.9)
    width: float = 0.06
    stiffness: float = 0.78
    lift: float = 0.35
    sides: float = 1.0
    seed: int = 0


def hair(head: Head, positions: np.ndarray, style: Style) -> Surface:
    """The strands as ribbons that face the viewer."""
    random = np.random.default_rng(style.seed)
    roots, normals, home = _roots(head, positions, style.strands, random)
    skull = positions[(abs(head.neutral[:, 0]) < _EARS) & (head.neutral[:, 1] > _NECK)]
    radius = _radius_map(skull)
    lines = _grown(roots, normals, home, radius, style, random)
    return _ribbons(lines, style, random)


def _roots(
    head: Head, positions: np.ndarray, count: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places (N, 3), normals (N, 3) and places at rest (N, 3), evenly over the scalp."""
    triangles = head.triangles("M_Face", "M_BackHead")
    inside = hairline(head.neutral[triangles].mean(axis=1)) > 0
    outside_skull = triangles.max(axis=1) < FIRST_INSIDE
    triangles = triangles[inside & outside_skull]
    a, b, c = (positions[triangles[:, corner]] for corner in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    chosen = random.choice(len(triangles), size=count, p=area / area.sum())
    weights = random.dirichlet((1.0, 1.0, 1.0), size=count).astype(np.float32)
    smooth = vertex_normals(positions, triangles)
    places, normals, home = (
        np.einsum("ncx,nc->nx", values[triangles[chosen]], weights) for values in (positions, smooth, head.neutral)
    )
    return places, normals, home


def _radius_map(skull: np.ndarray) -> np.ndarray:
    """How far the head reaches from its middle, by direction: (rows from top to bottom, columns around)."""
    points = skull - _MIDDLE
    row, column = _bins(points)
    made = np.full(_BINS, 8.0)
    np.maximum.at(
        made,
        (np.round(row).astype(int).clip(0, _BINS[0] - 1), np.round(column).astype(int) % _BINS[1]),
        np.linalg.norm(points, axis=1),
    )
    for _ in range(2):
        made = np.maximum(made, 0.25 * (np.roll(made, 1, 1) + np.roll(made, -1, 1)) + 0.5 * made)
        made[1:-1] = 0.25 * (made[:-2] + made[2:]) + 0.5 * made[1:-1]
    return made


def _bins(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    away = np.maximum(np.linalg.norm(points, axis=-1), 1e-6)
    row = np.arccos((points[..., 1] / away).clip(-1, 1)) / np.pi * (_BINS[0] - 1)
    column = (np.arctan2(points[..., 0], points[..., 2]) / (2 * np.pi) + 0.5) * _BINS[1]
    return row, column


def _reach(radius: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The map, between its places, (N,)."""
    row, column = _bins(points)
    top, left = np.floor(row).astype(int).clip(0, _BINS[0] - 2), np.floor(column).astype(int)
    down, over = (row - top).clip(0, 1), column - left
    left, right = left % _BINS[1], (left + 1) % _BINS[1]
    upper = radius[top, left] * (1 - over) + radius[top, right] * over
    lower = radius[top + 1, left] * (1 - over) + radius[top + 1, right] * over
    return upper * (1 - down) + lower * down


def _combed(home: np.ndarray, normals: np.ndarray, style: Style) -> np.ndarray:
    """First directions (N, 3): away from the parting, or back."""
    if style.parting is None:
        way = np.stack(
            [0.25 * home[:, 0] / 8, np.interp(home[:, 1], [3.0, 9.0], [-0.9, 0.3]), np.full(len(home), -1.0)], axis=1
        )
    else:
        side = np.tanh((home[:, 0] - style.parting) * 1.5)
        down = np.interp(home[:, 1], [0.0, 8.0], [-3.0, -0.15])
        way = np.stack([side, down, -0.45 + 0.25 * (home[:, 2] > 3)], axis=1)
    way -= normals * (way * normals).sum(axis=1, keepdims=True)
    return way / np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-6)


def _grown(
    roots: np.ndarray,
    normals: np.ndarray,
    home: np.ndarray,
    radius: np.ndarray,
    style: Style,
    random: np.random.Generator,
) -> np.ndarray:
    """(N, points, 3): step by step along a direction that gravity bends, never into the head."""
    count = len(roots)
    length = random.normal(*style.length, size=count).clip(style.length[0] * 0.5)
    length *= np.interp(home[:, 1], [-4.0, 3.0, 10.0], [style.sides, style.sides, 1.0])
    step = (length / (style.points - 1))[:, None]
    lock = _locks(home, random)
    layer = random.uniform(0.15, 1.0, size=count)
    way = _combed(home, normals, style) + style.lift * normals + random.normal(0, 0.06, (count, 3))
    gravity = np.array([0.0, -1.0, 0.0])
    place, made = roots.astype(np.float64), [roots.astype(np.float64)]
    for number in range(1, style.points):
        share = number / style.points
        way = style.stiffness * way + (1 - style.stiffness) * gravity
        way /= np.linalg.norm(way, axis=1, keepdims=True)
        place = place + way * step
        away = place - _MIDDLE
        far = np.linalg.norm(away, axis=1)
        least = _reach(radius, away) + style.volume * layer * min(1.0, 4 * share) + 0.1
        least = np.where(place[:, 1] > _NECK, least, 0.0)
        most = np.where(place[:, 1] > 0, least + 0.5 * style.volume, np.inf)
        before = place
        place = _beside_the_face(_MIDDLE + away * (far.clip(least, most) / far)[:, None], layer)
        pushed = np.linalg.norm(place - before, axis=1, keepdims=True) > 1e-6
        last = place - made[-1]
        way = np.where(pushed, last / np.maximum(np.linalg.norm(last, axis=1, keepdims=True), 1e-6), way)
        made.append(place)
    lines = np.stack(made, axis=1)
    return _waved(lines, lock, length, style, random)


def _beside_the_face(place: np.ndarray, layer: np.ndarray) -> np.ndarray:
    """Strands that would hang before the face are laid to its sides, nearer to the ears the lower they are."""
    x, y, z = place.T
    before = (z > 2.0) & (y < 9.5)
    edge = np.interp(y, [-8.0, 0.0, 4.0, 7.0, 9.5], [7.6, 7.9, 7.3, 6.2, 3.5]) + 0.9 * layer
    made = place.copy()
    made[:, 0] = np.where(before, np.sign(x) * np.maximum(abs(x), edge), x)
    made[:, 2] = np.where(before & (y < 5.0), np.minimum(z, 4.5 + layer), z)
    return made


def _locks(home: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """(N,), which of some hundred locks each root belongs to."""
    middles = home[random.choice(len(home), size=min(260, len(home)), replace=False)]
    return np.argmin(((home[:, None] - middles[None]) ** 2).sum(axis=-1), axis=1)


def _waved(
    lines: np.ndarray, lock: np.ndarray, length: np.ndarray, style: Style, random: np.random.Generator
) -> np.ndarray:
    """Strands of a lock swing together and draw near each other towards their tips."""
    share = np.linspace(0, 1, lines.shape[1])
    means = np.zeros((lock.max() + 1, *lines.shape[1:]))
    np.add.at(means, lock, lines)
    means /= np.maximum(np.bincount(lock), 1)[:, None, None]
    lines = lines + (means[lock] - lines) * (0.5 * share**1.5)[None, :, None]
    size, often = style.wave
    phase = random.uniform(0, 2 * np.pi, lock.max() + 1)[lock][:, None] + random.normal(0, 0.35, len(lines))[:, None]
    turn = phase + 2 * np.pi * often * length[:, None] / 10 * share
    swing = size * np.minimum(1, share * 2.5)
    outward = lines - _MIDDLE
    outward = outward / np.linalg.norm(outward, axis=-1, keepdims=True)
    side = np.cross(outward, np.array([0.0, 1.0, 0.0]))
    lines = (
        lines
        + side * (np.sin(turn) * swing)[..., None]
        + outward * (np.cos(turn) * swing * 0.5 + swing * 0.5)[..., None]
    )
    return np.asarray(lines + random.normal(0, 0.035, (len(lines), 1, 3)) * share[None, :, None] * 2)


def _ribbons(lines: np.ndarray, style: Style, random: np.random.Generator) -> Surface:
    count, points = lines.shape[:2]
    along = np.gradient(lines, axis=1)
    along /= np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-6)
    side = np.cross(along, np.array([0.0, 0.0, 1.0]))
    side /= np.maximum(np.linalg.norm(side, axis=-1, keepdims=True), 1e-6)
    taper = np.linspace(1.0, 0.25, points)[None, :, None] * style.width / 2
    edges = np.stack([lines - side * taper, lines + side * taper], axis=2).reshape(-1, 3)
    first = (np.arange(count)[:, None] * points + np.arange(points - 1)[None]).reshape(-1, 1) * 2
    triangles = (first + np.array([[0, 1, 2, 1, 3, 2]])).reshape(-1, 3)
    outward = lines - _MIDDLE
    outward /= np.linalg.norm(outward, axis=-1, keepdims=True)
    tone = np.exp(random.normal(0, 0.34, (count, 1, 1))) * np.linspace(0.75, 1.2, points)[None, :, None]
    colour = np.concatenate([np.array(style.colour, np.float32) * tone, np.zeros((count, points, 1))], axis=-1)
    numbers = np.broadcast_to(np.arange(count)[:, None, None] * 0.05, lines.shape)
    repeated = [np.repeat(part.reshape(-1, part.shape[-1]), 2, axis=0) for part in (colour, numbers, outward, along)]
    colour, home, normals, along = (part.astype(np.float32) for part in repeated)
    return Surface("strands", edges.astype(np.float32), triangles, colour, home, normals, along)


def thinned(strands: Surface, points: int, *, keep: int = 4) -> Surface:
    """One strand in ``keep``, wider, to throw shadows quickly; ``points`` as in the style."""
    each = strands.positions.reshape(-1, points, 2, 3)[::keep]
    middle = each.mean(axis=2, keepdims=True)
    wide = (middle + (each - middle) * keep * 0.6).reshape(-1, 3)
    count = len(each) * 2 * (points - 1)
    return Surface("strands", wide, strands.triangles[:count], strands.albedo[: len(wide)], strands.rest[: len(wide)])
