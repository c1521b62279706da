"""Fit the head to a photograph's landmarks: identity, expression and pose by Gauss and Newton.

What is unknown is few and nearly linear: 100 identity and 57 expression coefficients move the landmarks along straight
lines, and a camera of the renderer's own kind looks at them. So a dozen small least squares suffice. A Gaussian prior
keeps the identity a person, bounds keep each expression one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...motion.components import LEFT_IRIS_CENTRE, RIGHT_IRIS_CENTRE, RINGS
from ...types import NUM_LANDMARKS, Component
from .ict import Head
from .landmarks import mesh_points, with_lips_closed
from .paint import turned
from .scene import Camera

_ROUNDS = 25
_NOISE = 0.006
"""What a landmarker errs by, as a share of the face's height."""
_INDEPENDENT = 0.25
"""Of the landmarks, which err together, a share counts as independent measurements."""
_EXPRESSION_SPREAD = 0.4
_OUTLINE = RINGS[Component.FACE]
"""Landmarks there slide along the skin when the head turns; they count for less."""
_OUTLINE_WEIGHT = 0.4
_POSE = 6
_STEP = 1e-3
_TARGET_DEPTH = 4.0


@dataclass(frozen=True)
class HeadFit:
    """The head as it stands in a photograph.

    Attributes:
        identity: (I,) weights, N(0, 1) in the population.
        expression: (E,) in [0, 1], by ``Head.expression_names``.
        turn: yaw, pitch and roll in radians, see ``paint.turned``.
        camera: that sees it where the photograph does.
        residual: root mean square of the distances, in pixels, between landmarks and those of the fit.
    """

    identity: np.ndarray
    expression: np.ndarray
    turn: tuple[float, float, float]
    camera: Camera
    residual: float

    def positions(self, head: Head) -> np.ndarray:
        """(V, 3) float32 in the photograph's expression, not turned yet."""
        return (head.shape(self.identity) + np.tensordot(self.expression, head.expression, axes=1)).astype(np.float32)

    def posed(self, head: Head) -> np.ndarray:
        """(V, 3) float32, expressed and turned: what the camera sees."""
        yaw, pitch, roll = self.turn
        return turned(self.positions(head), yaw=yaw, pitch=pitch, roll=roll)


class HeadFitter:
    """Holds what the shapes do to the landmarks, which is the same for all photographs."""

    def __init__(self, head: Head) -> None:
        points = mesh_points()
        self.head = head
        self.rest = points.of(head.neutral)
        shapes = [points.of(offset) for part in (head.identity, head.expression) for offset in part]
        self.shapes = np.stack(shapes).astype(np.float64)  # (I + E, 478, 3)
        self.identities = len(head.identity)
        self.most = np.full(len(self.shapes), np.inf)
        self.most[self.identities :] = [0.0 if name.startswith("Pupil") else 1.0 for name in head.expression_names]
        self.least = np.where(np.isinf(self.most), -np.inf, 0.0)
        weight = np.ones(NUM_LANDMARKS)
        weight[_OUTLINE] = _OUTLINE_WEIGHT
        for centre in (RIGHT_IRIS_CENTRE, LEFT_IRIS_CENTRE):  # an eyeball turns by itself
            weight[centre : centre + 5] = 0
        self.weight = weight

    def fit(self, landmarks: np.ndarray, size: tuple[int, int]) -> HeadFit:
        """The head that a picture shows.

        Args:
            landmarks: (478, 3) in pixels, of MediaPipe's topology; depth is not used.
            size: height and width of the picture.
        """
        seen = landmarks[:, :2].astype(np.float64)
        height = float(np.ptp(seen[self.weight > 0, 1]))
        noise = _NOISE * height / np.sqrt(_INDEPENDENT)
        prior = np.concatenate(
            [np.ones(self.identities), np.full(len(self.most) - self.identities, _EXPRESSION_SPREAD)]
        )
        precision = np.concatenate([np.zeros(_POSE), 1 / prior**2])
        values = np.concatenate([self._first_pose(seen, size), np.zeros(len(self.shapes))])
        weight = np.repeat(self.weight, 2) / noise**2
        for number in range(_ROUNDS):
            off = (seen - self.project(values, size)).ravel()
            slopes = self._slopes(values, size)
            normal = (slopes * weight[:, None]).T @ slopes + np.diag(precision)
            toward = (slopes * weight[:, None]).T @ off - precision * values
            free = np.ones(len(values), bool)
            free[_POSE:] = number > 2  # the pose first
            values = self._bounded(values, normal, toward, free)
        off = seen - self.project(values, size)
        return self._result(values, size, float(np.sqrt((off[self.weight > 0] ** 2).sum(axis=1).mean())))

    def project(self, values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """(478, 2) in pixels: pose (6,), identity and expression as landmarks."""
        camera, turn = _camera(values, size), values[:3]
        marks = with_lips_closed(self._marks(values), self.rest)
        return camera.project(_rotated(marks, turn))

    def _marks(self, values: np.ndarray) -> np.ndarray:
        return self.rest + np.tensordot(values[_POSE:], self.shapes, axes=1)

    def _first_pose(self, seen: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """As large and where the landmarks are, from the front."""
        scale = np.ptp(self.rest[:, 1]) / max(float(np.ptp(seen[:, 1])), 1e-6)  # cm per pixel
        middle = (seen.max(axis=0) + seen.min(axis=0)) / 2 - np.array([size[1], size[0]]) / 2
        centre = (self.rest.max(axis=0) + self.rest.min(axis=0)) / 2
        x, y = centre[0] - middle[0] * scale, centre[1] + middle[1] * scale
        return np.array([0.0, 0.0, 0.0, x, y, np.log(scale * size[0])])

    def _slopes(self, values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """(956, 6 + I + E): what each unknown does to the projected landmarks."""
        now, pose = self.project(values, size), []
        for number in range(_POSE):
            moved = values.copy()
            moved[number] += _STEP
            pose.append((self.project(moved, size) - now).ravel() / _STEP)
        camera, marks = _camera(values, size), self._marks(values)
        turn = _rotated(np.eye(3), values[:3]) - _rotated(np.zeros((1, 3)), values[:3])  # rows: the axes, turned
        placed, moves = _rotated(marks, values[:3]), self.shapes @ turn
        away = float(camera.place[2]) - placed[:, 2]
        focal = camera.distance / camera.extent * size[0]
        aside = (placed[:, :2] - camera.place[:2]) / away[:, None]
        flat = (moves[..., :2] + aside * moves[..., 2:]) * (focal / away)[:, None] * (1, -1)
        return np.concatenate([np.stack(pose, axis=1), flat.reshape(len(flat), -1).T], axis=1)

    def _bounded(self, values: np.ndarray, normal: np.ndarray, toward: np.ndarray, free: np.ndarray) -> np.ndarray:
        """One step of those that are free; who would leave their bounds are held there and the rest solved again."""
        made, free = values.copy(), free.copy()
        least = np.concatenate([np.full(_POSE, -np.inf), self.least])
        most = np.concatenate([np.full(_POSE, np.inf), self.most])
        held = np.zeros(len(values))
        for _ in range(8):
            right = toward - normal @ held
            step = held.copy()
            step[free] = np.linalg.solve(normal[np.ix_(free, free)], right[free])
            made = values + step
            out = free & ((made < least) | (made > most))
            if not out.any():
                break
            held[out] = made[out].clip(least[out], most[out]) - values[out]
            free &= ~out
        return made.clip(least, most)

    def _result(self, values: np.ndarray, size: tuple[int, int], residual: float) -> HeadFit:
        yaw, pitch, roll = values[:3].tolist()
        shapes = values[_POSE:].astype(np.float32)
        return HeadFit(
            identity=shapes[: self.identities],
            expression=shapes[self.identities :],
            turn=(yaw, pitch, roll),
            camera=_camera(values, size),
            residual=residual,
        )


def _camera(values: np.ndarray, size: tuple[int, int]) -> Camera:
    return Camera(size, (float(values[3]), float(values[4]), _TARGET_DEPTH), float(np.exp(values[5])))


def _rotated(points: np.ndarray, turn: np.ndarray) -> np.ndarray:
    yaw, pitch, roll = turn.tolist()
    return turned(points, yaw=yaw, pitch=pitch, roll=roll).astype(np.float64)
