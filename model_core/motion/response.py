"""How a portrait's face answers: what is read on it when it is carried to some basic expressions.

A reader of expressions sees the same movement of landmarks differently on every face: a smile reads weakly on thin
lips, lowers the jaw's coefficient, and does nothing more where the portrait smiles already. So the portrait is carried
to each of a few basic expressions and read once. From what is read follows, for every frame, the smallest change of
the retargeted face that makes the portrait read as far from its own expression as the driver is from his at rest.

The model is logistic, as the coefficients are: logit(read) = logit(own) + slopes @ controls. Corrections are damped and
bounded, so that a face on which nothing can be read is left alone. At rest there is nothing to correct.

Expressions are also read as movements of the head: a jaw that drops reads as a head that nods. What no head has done is
taken back from its turn.

Lids and irises are read on carried pictures too, but about half as far as they have moved; see ``shown_lids``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from ..errors import InputError
from ..types import FaceTrack
from .alignment import face_centre, face_size
from .expressions import expression_names, expression_offsets, neutral_face
from .features import close_lids
from .head import rotation, rotation_matrix, rotation_vector


def _sides(*names: str) -> tuple[str, ...]:
    return tuple(name + side for name in names for side in ("Left", "Right"))


_EXPRESSIONS: tuple[tuple[str, ...], ...] = (
    ("jawOpen",),
    _sides("mouthSmile"),
    ("mouthPucker",),
    ("mouthFunnel",),
    ("browInnerUp",),
    _sides("browOuterUp"),
    _sides("browDown"),
    _sides("mouthStretch"),
    _sides("mouthLowerDown"),
    _sides("mouthUpperUp"),
    _sides("mouthFrown"),
    ("mouthRollLower", "mouthRollUpper"),
    ("mouthShrugLower", "mouthShrugUpper"),
    _sides("mouthPress"),
)
"""What is carried, one after another; the lids follow."""

_SIGNALS: tuple[tuple[float, tuple[str, ...]], ...] = (
    *((1.0, names) for names in _EXPRESSIONS[:7]),
    *((0.3, names) for names in _EXPRESSIONS[7:]),
    (1.0, _sides("eyeBlink")),
)
"""What is read, as means of coefficients, and how much each counts."""

_AMOUNTS = (0.5, 1.0)
_EXTREME = 5.0  # logits: 0.7 % or 99.3 %, beyond which coefficients say nothing
_DAMPING = 0.08
_LEAST_SLOPE = 0.05  # of the logistic curve: what reads as nothing yet begins to read farther on
_MOST = np.array([0.6] * len(_EXPRESSIONS) + [0.5])
_STEPS = 5
_MOST_MISREAD = 0.2  # radians

_LIDS_READ = 0.5
_GAZE_READ, _GAZE_LIMIT = np.array([0.6, 0.5]), np.array([0.35, 0.2])
"""Along and across the eye: the part of its movement that is read, and lengths of the eye that no iris moves beyond.

Measured with MediaPipe on 10 portraits driven by 4 clips: medians of 0.57 and 0.44 for irises, 0.52 for lids.
"""


@dataclass(frozen=True)
class Correction:
    """What is added to a retargeted face, for F frames.

    Attributes:
        offsets: (F, 478, 3) in face sizes, head upright.
        lids: (F, 1), the share of their opening by which the lids close farther.
    """

    offsets: np.ndarray
    lids: np.ndarray


@dataclass(frozen=True)
class Response:
    """What is read on one portrait.

    Attributes:
        own: (S,) logits of what is read on the portrait as it is.
        slopes: (S, C) logits by which that changes for one unit of each control.
        turns: (3, C), the rotation vector about the head's own axes, in radians, that is read for one unit of each
            control although the head stays as it is; 0 where the analyser reads no poses.
    """

    own: np.ndarray
    slopes: np.ndarray
    turns: np.ndarray

    def correct(self, change: np.ndarray, lids: np.ndarray, wanted: np.ndarray) -> Correction:
        """The change that makes the portrait read as wanted.

        Args:
            change: (F, 478, 3), what the expression moves so far, in face sizes, head upright.
            lids: (F, 1), the share of their opening by which the lids close so far.
            wanted: (F, 51), by how much the coefficients should change.
        """
        start = _controls(change, lids)
        read = _logistic(self.own)
        target = np.clip(read + _signals(wanted), np.minimum(read, _logistic(-_EXTREME)), _logistic(_EXTREME))
        weights = np.array([weight for weight, _ in _SIGNALS])
        added = np.zeros_like(start)
        for _ in range(_STEPS):  # Gauss and Newton's, damped
            guess = _logistic(self.own + (start + added) @ self.slopes.T)
            steep = np.maximum(guess * (1 - guess), _LEAST_SLOPE) * weights
            jacobian = steep[..., None] * self.slopes
            transposed = np.swapaxes(jacobian, 1, 2)
            left = transposed @ jacobian + _DAMPING * np.eye(start.shape[1])
            right = transposed @ ((target - guess) * weights)[..., None] - _DAMPING * added[..., None]
            added = np.clip(added + np.linalg.solve(left, right)[..., 0], -_MOST, _MOST)
        return Correction(np.tensordot(added[:, :-1], _basis(), axes=1), added[:, -1:])

    def misread_turn(self, change: np.ndarray, lids: np.ndarray) -> np.ndarray:
        """The turn (F, 3) that is read for an expression alone; arguments as of ``correct``."""
        turn = _controls(change, lids) @ self.turns.T
        angle = np.linalg.norm(turn, axis=1, keepdims=True)
        return turn * np.minimum(1, _MOST_MISREAD / np.maximum(angle, 1e-9))


def shown_lids(shares: list[np.ndarray]) -> list[np.ndarray]:
    """The shares (``features.lid_shares``) at which lids must stand to be read as open as the driver's.

    Near rest they move twice as far; lids that are shut stay shut.
    """
    return [np.maximum(share, 0) ** (1 / _LIDS_READ) for share in shares]


def shown_gaze(moved: list[np.ndarray]) -> list[np.ndarray]:
    """The movements (``features.gaze``) by which irises must move to be read as far as the driver's."""
    return [_GAZE_LIMIT * np.tanh(move / (_GAZE_READ * _GAZE_LIMIT)) for move in moved]


def probe_landmarks(reference: FaceTrack) -> np.ndarray:
    """(31, 478, 3) float32: the portrait's face at rest and carried to the basic expressions.

    Args:
        reference: the portrait's face, one frame.
    Raises:
        InputError: a reference of several frames.
    """
    if len(reference) != 1:
        raise InputError(f"reference: a face track of {len(reference)} frames; take one, such as track.take([0])")
    return _carried(reference.landmarks[0].astype(np.float64), _probes())


def response_of(readings: np.ndarray) -> Response | None:
    """How a portrait reads.

    Args:
        readings: (31, 54), coefficients and pose of the portrait carried to ``probe_landmarks``; rows of NaN where no
            face was found, poses of NaN where the analyser reads none.
    Returns:
        None where no face was found on the portrait as it is.
    """
    logits = _logits(_signals(readings[:, :-3]))
    seen = ~np.isnan(logits).any(axis=1)
    if not seen[0]:
        return None
    slopes = np.linalg.lstsq(_probes()[seen], logits[seen] - logits[0], rcond=None)[0].T
    return Response(logits[0], slopes, _turns(readings[:, -3:].astype(np.float64)))


def _turns(poses: np.ndarray) -> np.ndarray:
    """(3, C) the turn from the first of the poses (N, 3) for one unit of each control."""
    seen = ~np.isnan(poses).any(axis=1)
    if not seen[0]:
        return np.zeros((3, len(_MOST)))
    heads = rotation_matrix(poses[seen])
    return np.linalg.lstsq(_probes()[seen], rotation_vector(heads[0].T @ heads), rcond=None)[0].T


def _probes() -> np.ndarray:
    """(N, C) what the portrait is carried to; first itself."""
    count = len(_MOST)
    return np.concatenate([np.zeros((1, count)), *(amount * np.eye(count) for amount in _AMOUNTS)])


def _carried(portrait: np.ndarray, controls: np.ndarray) -> np.ndarray:
    """(N, 478, 3) float32: the portrait's landmarks moved by controls (N, C)."""
    size, centre = face_size(portrait), face_centre(portrait)
    held = rotation(neutral_face(), (portrait - centre) / size)
    own = (portrait - centre) / size @ held
    made = own + np.tensordot(controls[:, :-1], _basis(), axes=1)
    close_lids(made, own, controls[:, -1:])
    return ((made @ held.T) * size + centre).astype(np.float32)


def _controls(change: np.ndarray, lids: np.ndarray) -> np.ndarray:
    """(F, C) how far each control is in a change of the face, (F, 478, 3), and in lids closed by a share, (F, 1)."""
    return np.concatenate([change.reshape(len(change), -1) @ _projection(), lids], axis=1)


@cache
def _basis() -> np.ndarray:
    """(E, 478, 3): what the basic expressions move."""
    names = expression_names()
    return expression_offsets(np.array([[float(name in group) for name in names] for group in _EXPRESSIONS]))


@cache
def _projection() -> np.ndarray:
    """(478 * 3, E): how much of each basic expression is in an expression."""
    basis = _basis().astype(np.float64)
    flat = basis.reshape(len(basis), -1)
    gram = flat @ flat.T
    return np.linalg.solve(gram + 1e-2 * np.trace(gram) / len(gram) * np.eye(len(gram)), flat).T


def _signals(coefficients: np.ndarray) -> np.ndarray:
    """(F, 51) to (F, S)."""
    names = expression_names()
    index = [[names.index(name) for name in group] for _, group in _SIGNALS]
    return np.stack([coefficients[:, columns].mean(axis=1) for columns in index], axis=1).astype(np.float64)


def _logits(values: np.ndarray) -> np.ndarray:
    inside = np.clip(values, 1e-6, 1 - 1e-6)
    return np.clip(np.log(inside / (1 - inside)), -_EXTREME, _EXTREME)


def _logistic(values: np.ndarray | float) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-np.asarray(values))))
