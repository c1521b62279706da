from __future__ import annotations

import numpy as np

from model_core.motion.components import RINGS
from model_core.types import Component
from model_core.warp import carry_pixels

from .conftest import SIZE


def test_pixels_of_one_face_lie_on_the_other_ones_landmarks(portrait: np.ndarray, open_mouth: np.ndarray) -> None:
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    places = np.stack([x + 0.5, y + 0.5], axis=-1)[None]
    target = open_mouth * (0.5, 0.5, 0.5) + (20, 10, 0)
    made = carry_pixels(places, portrait[None], target[None], size=(160, 180))
    assert made.shape == (1, 160, 180, 2) and made.dtype == np.float32
    marks = RINGS[Component.NOSE]
    columns, rows = target[marks, 0].astype(int), target[marks, 1].astype(int)
    assert np.linalg.norm(made[0, rows, columns] - portrait[marks, :2], axis=1).max() < 2.5


def test_labels_are_never_mixed_and_nothing_is_outside(portrait: np.ndarray) -> None:
    labels = np.zeros((1, SIZE, SIZE), np.uint8)
    labels[:, ::2] = 200
    made = carry_pixels(labels, portrait[None], (portrait * 0.7)[None], size=(SIZE, SIZE), labels=True)
    assert set(np.unique(made)) == {0, 200}
    far = portrait + (2000, 0, 0)
    assert not carry_pixels(labels + 1, portrait[None], far[None], size=(SIZE, SIZE), labels=True).any()
