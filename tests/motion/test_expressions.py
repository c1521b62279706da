from __future__ import annotations

import numpy as np
import pytest

from model_core.errors import CheckpointError, InputError
from model_core.faces.blendshapes import BLENDSHAPES
from model_core.motion import expressions
from model_core.motion.components import CORNERS, INNER_MOUTH_RINGS, LEFT_IRIS_CENTRE, RIGHT_IRIS_CENTRE, RINGS
from model_core.motion.expressions import expression_names, expression_offsets
from model_core.types import NUM_LANDMARKS, Component


def of(**coefficients: float) -> np.ndarray:
    """(478, 3) offsets of one face."""
    row = [coefficients.get(name, 0.0) for name in expression_names()]
    return expression_offsets(np.array([row], np.float32))[0]


def test_the_table_speaks_of_the_coefficients_that_faces_have() -> None:
    assert expression_names() == BLENDSHAPES
    made = expression_offsets(np.zeros((3, 51)))
    assert made.shape == (3, NUM_LANDMARKS, 3) and made.dtype == np.float32 and not made.any()
    each = expression_offsets(np.eye(51))
    assert np.isfinite(each).all() and (np.abs(each).max(axis=(1, 2)) > 0.02).all() and np.abs(each).max() < 1.0
    assert expressions.TABLE.stat().st_size < 200_000


def test_offsets_are_linear_also_below_zero_and_beyond_one() -> None:
    rows = np.random.default_rng(0).uniform(-1, 2, (2, 51)).astype(np.float32)
    first, second, both = expression_offsets(np.stack([*rows, 2 * rows[0] - rows[1]]))
    np.testing.assert_allclose(both, 2 * first - second, atol=1e-4)


def test_a_jaw_opens_the_mouth_downwards() -> None:
    made = of(jawOpen=1.0)
    upper, lower = (made[list(ring[3:-3]), 1].mean() for ring in INNER_MOUTH_RINGS)
    assert lower > 0.4 and abs(upper) < 0.1 and made[152, 1] > 0.4  # the chin goes along
    assert np.abs(made[RINGS[Component.LEFT_EYE]]).max() < 0.02


def test_left_is_the_person_s_own_left_which_is_the_picture_s_right() -> None:
    smile = of(mouthSmileLeft=1.0)
    assert smile[291, 0] > 0.1 and smile[291, 1] < -0.05 and np.abs(smile[61]).max() < 0.05
    blink = of(eyeBlinkLeft=1.0)
    assert blink[386, 1] > 0.08 and np.abs(blink[RINGS[Component.RIGHT_EYE]]).max() < 0.01


def test_brows_rise_and_irises_stay() -> None:
    made = of(browInnerUp=1.0)
    inner = [CORNERS[brow][0] for brow in (Component.LEFT_BROW, Component.RIGHT_BROW)]
    assert (made[inner, 1] < -0.05).all()
    every = expression_offsets(np.eye(51))
    for centre in (LEFT_IRIS_CENTRE, RIGHT_IRIS_CENTRE):
        assert not every[:, centre : centre + 5].any()


def test_what_does_not_fit_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    with pytest.raises(InputError, match=r"shape \(2, 52\), need \(frames, 51\)"):
        expression_offsets(np.zeros((2, 52)))
    monkeypatch.setattr(expressions, "TABLE", tmp_path / "gone.safetensors")
    expressions._table.cache_clear()
    with pytest.raises(CheckpointError, match=r"gone\.safetensors: cannot be read"):
        expression_names()
    expressions._table.cache_clear()
