"""Expressions as coefficients: what each of ARKit's moves, as offsets of landmarks that are added up.

The table was measured on a morphable head (``training/heads/correspondence.py``). Offsets are in face sizes
(``alignment.face_size``), x right, y down, z away from the viewer, of an upright head: turn them by the head's rotation
and multiply them by its size before they are added to a face. They are linear in the coefficients, as the head's shapes
are. Irises stay where they are: expressions that look somewhere move the lids only.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from ..errors import CheckpointError, InputError

TABLE = Path(__file__).with_name("expressions.safetensors")


def expression_names() -> tuple[str, ...]:
    """The coefficients in order: those of ``FaceTrack.blendshapes``.

    Raises:
        CheckpointError: the table is missing or damaged.
    """
    return _table()[0]


def expression_offsets(coefficients: np.ndarray) -> np.ndarray:
    """What expressions add to a face.

    Args:
        coefficients: (F, 51) in the order of ``expression_names``, usually in [0, 1]; differences, such as from a face
            at rest, may be negative.
    Returns:
        (F, 478, 3) float32 in face sizes.
    Raises:
        InputError: another number of coefficients.
        CheckpointError: the table is missing or damaged.
    """
    names, offsets, _ = _table()
    if coefficients.ndim != 2 or coefficients.shape[1] != len(names):
        raise InputError(f"expressions: coefficients of shape {coefficients.shape}, need (frames, {len(names)})")
    return np.tensordot(coefficients.astype(np.float32), offsets, axes=1)


def neutral_face() -> np.ndarray:
    """(478, 3) float64, an average face held upright, in its own sizes: what the table's axes are seen from."""
    return _table()[2]


@cache
def _table() -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Names, (51, 478, 3) float32 offsets, and the (478, 3) float64 face that they belong to."""
    try:
        with safe_open(str(TABLE), framework="np") as file:
            names = tuple(json.loads(file.metadata()["names"]))
            offsets = file.get_tensor("offsets").astype(np.float32)
            neutral = file.get_tensor("neutral").astype(np.float64)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"expressions {TABLE}: cannot be read ({error}); install this project again") from error
    offsets.setflags(write=False)
    neutral.setflags(write=False)
    return names, offsets, neutral
