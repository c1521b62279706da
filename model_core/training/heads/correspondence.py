"""Where MediaPipe's landmarks lie on the head, and what each expression therefore does to them.

Heads of many identities are drawn with mouth and eyes open and shut, from the front and a little aside; the landmarker
says where it sees its 478 points. Each is then the one fixed point of the mesh that comes nearest to all that it says.
What an expression moves is read off the mesh, never off the landmarker, which sees brows and noses of renders weakly.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from ...errors import FaceNotFoundError
from ...faces.analyzer import FaceAnalyzer
from ...faces.blendshapes import BLENDSHAPES
from ...files import atomic_path
from ...motion.alignment import face_size
from ...motion.components import LEFT_IRIS_CENTRE, RIGHT_IRIS_CENTRE
from ...paths import writing
from ...types import NUM_LANDMARKS
from .ict import Head
from .paint import Colour, Look, eye_middle, paint_skin, painted, turned
from .render import Renderer
from .scene import Camera, Lighting, Optics

IRISES = {"Right": RIGHT_IRIS_CENTRE, "Left": LEFT_IRIS_CENTRE}
_IMAGE_AXES = np.array([1, -1, -1], np.float32)
"""From y up and z towards the viewer to y down and z away."""
_EXPRESSIONS: tuple[dict[str, float], ...] = (
    {},
    {"jawOpen": 0.5, "eyeBlinkLeft": 0.9, "eyeBlinkRight": 0.9},
    {"jawOpen": 0.9, "eyeWideLeft": 0.6, "eyeWideRight": 0.6},
    {"jawOpen": 0.2, "mouthUpperUpLeft": 0.6, "mouthUpperUpRight": 0.6, "eyeWideLeft": 0.8, "eyeWideRight": 0.8},
)
_YAWS = (0.0, 0.25, -0.25)
_CANDIDATES = 12
"""Nearest vertices whose triangles are searched for the point itself."""
_STEPS = 6
"""A triangle is searched in so many steps along each side."""


@dataclass(frozen=True)
class MeshPoints:
    """The landmarks as points of the mesh.

    Attributes:
        vertices: (478, 3) int64, the corners of each one's triangle.
        weights: (478, 3) float32, which sum to 1.
    """

    vertices: np.ndarray
    weights: np.ndarray

    def of(self, positions: np.ndarray) -> np.ndarray:
        """The landmarks (478, 3) of a head (V, 3), or what an offset (V, 3) does to them."""
        return np.einsum("lcx,lc->lx", positions[self.vertices].astype(np.float32), self.weights)


@dataclass(frozen=True)
class Sighting:
    """One render: where the mesh was drawn and where landmarks were seen, both in face sizes of the picture.

    Attributes:
        drawn: (V, 2), every vertex.
        seen: (478, 2).
    """

    drawn: np.ndarray
    seen: np.ndarray


def see_heads(
    head: Head,
    analyzer: FaceAnalyzer,
    *,
    identities: int = 24,
    seed: int = 0,
    size: int = 384,
    progress: Callable[[int], object] | None = None,
) -> list[Sighting]:
    """Draw heads and ask the landmarker.

    Args:
        identities: heads; each is drawn with one of four expressions and one of three yaws in turn.
        progress: told the number of heads done, after each.
    Raises:
        FaceNotFoundError: hardly any head is seen as a face: the mesh is another one.
        DependencyError: see ``Renderer``.
    """
    random = np.random.default_rng(seed)
    camera = Camera((size, size), extent=32.0)
    made = []
    with Renderer() as renderer:
        for number in range(identities):
            expression, yaw = _EXPRESSIONS[number % len(_EXPRESSIONS)], _YAWS[number % len(_YAWS)]
            positions = head.shape(random.normal(size=len(head.identity)) * 0.8, expression)
            look = random_look(random)
            surfaces = turned(painted(head, positions, look), yaw=yaw)
            pictured = renderer.draw(
                surfaces, camera, lighting=Lighting(), skin=paint_skin(look), optics=Optics(iris=_iris(random))
            )
            faces = analyzer.detect(pictured)
            if len(faces) == 1:
                unit = face_size(faces[0].landmarks)
                drawn = camera.project(turned(positions, yaw=yaw))
                made.append(Sighting(drawn / unit, faces[0].landmarks[:, :2] / unit))
            if progress is not None:
                progress(number + 1)
    if len(made) < max(identities // 2, 1):
        raise FaceNotFoundError(f"head: a face is seen in {len(made)} of {identities} renders; is it ICT-FaceKit's?")
    return made


def random_look(random: np.random.Generator) -> Look:
    """Skin from pale to dark, with lips and brows to match."""
    dark = float(random.uniform(0, 1))
    skin = _mixed((0.62, 0.40, 0.30), (0.10, 0.045, 0.025), dark)
    red = _mixed((0.60, 0.36, 0.36), (0.83, 0.50, 0.50), float(random.uniform(0, 1)))
    lips = (skin[0] * red[0], skin[1] * red[1], skin[2] * red[2])
    return Look(seed=int(random.integers(1 << 30)), skin=skin, lips=lips)


def _mixed(first: Colour, second: Colour, share: float) -> Colour:
    red, green, blue = ((1 - share) * a + share * b for a, b in zip(first, second, strict=True))
    return red, green, blue


def _iris(random: np.random.Generator) -> Colour:
    return _mixed((0.07, 0.035, 0.018), (0.10, 0.16, 0.22), float(random.uniform(0, 1)))


def find_points(head: Head, sightings: list[Sighting]) -> MeshPoints:
    """The fixed points of the mesh that come nearest to the landmarks in all sightings."""
    triangles = head.triangles("M_Face")
    used = np.unique(triangles)
    apart = np.zeros((NUM_LANDMARKS, len(used)), np.float32)
    for sighting in sightings:
        apart += np.linalg.norm(sighting.seen[:, None] - sighting.drawn[None, used], axis=-1)
    vertices, weights = np.zeros((NUM_LANDMARKS, 3), np.int64), np.zeros((NUM_LANDMARKS, 3), np.float32)
    drawn = np.stack([sighting.drawn for sighting in sightings])
    seen = np.stack([sighting.seen for sighting in sightings])
    for landmark in range(NUM_LANDMARKS):
        near = used[np.argsort(apart[landmark])[:_CANDIDATES]]
        around = triangles[np.isin(triangles, near).any(axis=1)]
        vertices[landmark], weights[landmark] = _nearest(drawn[:, around], seen[:, landmark], around)
    for side, centre in IRISES.items():
        ring = slice(centre, centre + 5)
        vertices[ring], weights[ring] = _iris_points(head, side)
    return MeshPoints(vertices, weights)


def _nearest(drawn: np.ndarray, seen: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of triangles (M, T, 3, 2) the one, and the point of it, nearest to what is seen (M, 2) on average."""
    shares = np.array([(i, j, _STEPS - i - j) for i in range(_STEPS + 1) for j in range(_STEPS + 1 - i)]) / _STEPS
    places = np.einsum("mtcx,sc->mtsx", drawn, shares)
    apart = np.linalg.norm(places - seen[:, None, None], axis=-1).mean(axis=0)
    triangle, share = np.unravel_index(np.argmin(apart), apart.shape)
    return triangles[triangle], shares[share]


def _iris_points(head: Head, side: str) -> tuple[np.ndarray, np.ndarray]:
    """Middle and rim of an iris on the front of its eyeball, in MediaPipe's order: right, top, left, bottom."""
    triangles = head.triangles(f"M_Sclera{side}")
    radius = Optics().iris_radius
    places = np.array([(0, 0), (radius, 0), (0, radius), (-radius, 0), (0, -radius)])
    home = head.neutral - eye_middle(head, head.neutral, side)
    front = triangles[home[triangles][..., 2].min(axis=1) > 0]
    found = [_nearest(home[None, front][..., :2], place[None], front) for place in places]
    return np.stack([vertices for vertices, _ in found]), np.stack([weights for _, weights in found])


def expression_table(head: Head, points: MeshPoints) -> np.ndarray:
    """(51, 478, 3) float32: what each of ``BLENDSHAPES`` at 1 adds to the landmarks.

    In face sizes; x right, y down, z away from the viewer, head upright. Irises stay: an eyeball turns by itself.
    """
    unit = face_size(points.of(head.neutral) * _IMAGE_AXES)
    made = np.zeros((len(BLENDSHAPES), NUM_LANDMARKS, 3), np.float32)
    for number, name in enumerate(BLENDSHAPES):
        for shape in head.expressions(name):
            made[number] += points.of(head.expression[shape]) * _IMAGE_AXES / unit
    for centre in IRISES.values():
        made[:, centre : centre + 5] = 0
    return made


def neutral_landmarks(head: Head, points: MeshPoints) -> np.ndarray:
    """(478, 3) float32: the landmarks of the head at rest, in its face sizes and the table's axes."""
    marks = points.of(head.neutral) * _IMAGE_AXES
    return (marks / face_size(marks)).astype(np.float32)


def write_table(path: Path, head: Head, points: MeshPoints) -> None:
    """Table and points as a safetensors file, with the expressions' names in its metadata."""
    tensors = {
        "offsets": torch.from_numpy(expression_table(head, points)).half(),
        "neutral": torch.from_numpy(neutral_landmarks(head, points)),
        "ict_vertices": torch.from_numpy(points.vertices.astype(np.int32)),
        "ict_weights": torch.from_numpy(points.weights).half(),
    }
    with writing(path), atomic_path(path) as partial:
        save_file(tensors, str(partial), metadata={"names": json.dumps(BLENDSHAPES)})
