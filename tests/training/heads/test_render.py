from __future__ import annotations

import numpy as np
import pytest

from model_core.training.heads.ict import Head
from model_core.training.heads.paint import Look, paint_skin, painted, turned
from model_core.training.heads.render import Renderer
from model_core.training.heads.scene import Camera, Lighting, SkinMap, Surface, vertex_normals

DARK = SkinMap(np.zeros((1, 1, 4), np.float32))


def square(z: float, colour: tuple[float, float, float], *, side: float = 4.0, x: float = 0.0) -> Surface:
    corners = np.float32([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]) * side / 2 + np.float32([x, 0, z])
    return Surface("wet", corners, np.array([[0, 1, 2], [0, 2, 3]]), np.float32([[*colour, 0]] * 4), corners)


def test_what_is_nearer_hides_what_is_farther_and_lies_where_it_is_projected(renderer: Renderer) -> None:
    camera = Camera((40, 60), target=(0.0, 0.0, 0.0), extent=10.0)
    near, far = square(1.0, (0.8, 0.0, 0.0)), square(0.0, (0.0, 0.0, 0.8), side=6.0)
    for order in ([near, far], [far, near]):
        picture = renderer.draw(order, camera, lighting=Lighting(), skin=DARK, background=(0.0, 0.0, 0.0))
        assert picture.shape == (40, 60, 3) and picture.dtype == np.uint8
        red, blue = picture[..., 0] > 150, picture[..., 2] > 150
        for surface, seen in ((near, red), (far, red | blue)):
            rows, columns = np.nonzero(seen)
            low, high = (camera.project(surface.positions[corner]) for corner in (3, 1))
            np.testing.assert_allclose([columns.min(), rows.min()], low, atol=1.0)
            np.testing.assert_allclose([columns.max() + 1, rows.max() + 1], high, atol=1.0)
    assert not picture[0, 0].any()


def test_light_comes_from_where_the_lamp_is_and_shadow_takes_it(renderer: Renderer) -> None:
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    rings = [
        np.stack([np.cos(turn) * np.sin(a), np.sin(turn) * np.sin(a), np.cos(turn * 0 + a) * np.cos(a)], 1)
        for a in np.linspace(0.01, np.pi / 2, 12)
    ]
    points = 3 * np.concatenate(rings).astype(np.float32)
    quads = [
        (r * 24 + i, r * 24 + (i + 1) % 24, (r + 1) * 24 + i, (r + 1) * 24 + (i + 1) % 24)
        for r in range(11)
        for i in range(24)
    ]
    triangles = np.array([t for a, b, c, d in quads for t in ((a, c, b), (b, c, d))])
    ball = Surface("wet", points, triangles, np.float32([[0.4, 0.4, 0.4, 0]] * len(points)), points)
    lamps = Lighting(
        np.float32([[-1, 0, 0.3]] * 3), np.float32([[1, 1, 1], [0, 0, 0], [0, 0, 0]]), (0.1,) * 3, (0.1,) * 3
    )
    camera = Camera((32, 32), target=(0.0, 0.0, 0.0), extent=8.0)
    lit = renderer.draw([ball], camera, lighting=lamps, skin=DARK).astype(int)
    assert lit[16, 8].mean() > lit[16, 24].mean() + 60
    shaded = Surface(**{**vars(ball), "light": np.float32([[0, 1, 1, 1]] * len(points))})
    dark = renderer.draw([shaded], camera, lighting=lamps, skin=DARK).astype(int)
    assert dark[16, 8].mean() < lit[16, 8].mean() - 60


def test_normals_have_unit_length_and_point_outwards() -> None:
    flat = square(0.0, (1, 1, 1))
    np.testing.assert_allclose(vertex_normals(flat.positions, flat.triangles), [[0, 0, 1]] * 4)


@pytest.mark.slow
def test_a_painted_head_has_lips_brows_irises_and_teeth(renderer: Renderer, head: Head) -> None:
    camera = Camera((512, 512), target=(0.0, 0.0, 8.0), extent=26.0)
    positions = head.shape(
        None, {"mouthUpperUpLeft": 1, "mouthUpperUpRight": 1, "mouthSmileLeft": 1, "mouthSmileRight": 1}
    )
    look = Look(skin=(0.5, 0.3, 0.2), lips=(0.35, 0.06, 0.05), freckles=0.0)
    picture = renderer.draw(painted(head, positions, look), camera, lighting=Lighting(), skin=paint_skin(look)).astype(
        int
    )

    def at(x: float, y: float, vertex: np.ndarray = head.neutral) -> np.ndarray:
        moved = positions[np.argmin(np.hypot(vertex[:, 0] - x, vertex[:, 1] - y) - vertex[:, 2] * 0.1)]
        column, row = camera.project(moved).astype(int)
        return picture[row - 1 : row + 2, column - 1 : column + 2].mean((0, 1))

    forehead, lip, brow = at(0, 8), at(0, -4.0), at(3.5, 5.2)
    assert lip[0] - lip[1] > forehead[0] - forehead[1] + 10  # redder
    assert brow.mean() < forehead.mean() - 40
    eye = picture[slice(*sorted(camera.project(np.float32([[0, 3.9, 9], [0, 3.2, 9]]))[:, 1].astype(int)))]
    white, iris = eye.mean(axis=2).max(), eye.mean(axis=2).min()
    assert white > iris + 80


@pytest.mark.slow
def test_a_turned_head_and_its_surfaces_turn_alike(head: Head) -> None:
    positions = head.shape()
    surfaces = turned(painted(head, positions, Look()), yaw=0.3, pitch=0.1, roll=-0.2)
    moved = turned(positions, yaw=0.3, pitch=0.1, roll=-0.2)
    np.testing.assert_array_equal(surfaces[0].positions, moved)
    nose = positions[:, 2].argmax()
    assert moved[nose, 0] > positions[nose, 0] + 2  # to the viewer's right


def test_every_skin_is_its_own_though_memory_is_used_again(renderer: Renderer) -> None:
    flat = square(0.0, (0, 0, 0))
    face = Surface("skin", flat.positions, flat.triangles, np.float32([[0, 0, 0, 1]] * 4), flat.positions)
    camera = Camera((8, 8), target=(0.0, 0.0, 0.0), extent=3.0)

    def seen(level: float) -> float:
        skin = SkinMap(np.full((2, 2, 4), (level, level, level, 0), np.float32))
        return float(renderer.draw([face], camera, lighting=Lighting(), skin=skin).mean())

    for _ in range(3):
        assert seen(0.05) < seen(0.5) - 40
