"""Where the loss dwells: the right places, and margins that grow with the face."""

from __future__ import annotations

import numpy as np
import pytest

from model_core.motion.components import OUTER_MOUTH
from model_core.training.avatars import make_clip
from model_core.training.focus import focus


@pytest.mark.parametrize("size", [64, 256])
def test_mouth_and_eyes_lie_on_mouth_and_eyes(size: int) -> None:
    clip = make_clip(2, frames=1, drivers=1, size=size)
    person, parts, mouth, eyes = focus(clip, 0).numpy()
    marks = clip["landmarks"][0]
    assert {0.0, 1.0} == set(np.unique(mouth)) == set(np.unique(eyes))

    def at(area: np.ndarray, places: np.ndarray) -> np.ndarray:
        column, row = np.rint(places[:, :2]).astype(int).clip(0, size - 1).T
        return area[row, column]

    assert at(mouth, marks[OUTER_MOUTH]).all() and not at(eyes, marks[OUTER_MOUTH]).any()
    irises = marks[[468, 473]]
    assert at(eyes, irises).all() and not at(mouth, irises).any()
    assert not at(mouth, marks[[1, 10]]).any()  # tip of the nose, forehead
    assert mouth.mean() < 0.06 and eyes.mean() < 0.06
    assert person.mean() > parts.mean() > 0
