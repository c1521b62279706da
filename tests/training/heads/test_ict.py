from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model_core.errors import InputError
from model_core.training.heads.ict import CONVERTED, load_head


def test_a_folder_of_obj_files_becomes_a_head(obj_folder: Path, tiny: np.ndarray) -> None:
    head = load_head(obj_folder)
    np.testing.assert_array_equal(head.neutral, tiny)
    assert head.faces.tolist() == [[0, 1, 2], [0, 2, 3], [1, 4, 2]]  # the quad in two
    assert head.uv[head.faces_uv].shape == (3, 3, 2) and head.uv[head.faces_uv[0, 1]].tolist() == [0.75, 0.5]
    assert head.materials == ("M_Face", "M_Teeth") and head.material.tolist() == [0, 0, 1]
    assert head.triangles("M_Teeth").tolist() == [[1, 4, 2]]
    assert head.identity.shape == (1, 5, 3) and head.expression_names == ("browInnerUp_L", "browInnerUp_R")


def test_shapes_are_added_by_weight_and_halves_together(obj_folder: Path, tiny: np.ndarray) -> None:
    head = load_head(obj_folder)
    made = head.shape(np.array([2.0]), {"browInnerUp": 0.5})
    np.testing.assert_allclose(made - tiny, [[0, 0.125, 1], [0, 0, 1], [0, 0, 1], [0, 0, 1], [0, 0.25, 1]])
    assert head.expressions("browInnerUpLeft") == [0]
    with pytest.raises(InputError, match=r"no expression 'tongueOut'.*browInnerUp_L"):
        head.expressions("tongueOut")


def test_what_was_converted_is_read_the_next_time(obj_folder: Path) -> None:
    first = load_head(obj_folder)
    for path in obj_folder.glob("*.obj"):
        path.unlink()
    for again in (load_head(obj_folder), load_head(obj_folder / CONVERTED)):
        for name, value in vars(first).items():
            np.testing.assert_array_equal(getattr(again, name), value)


def test_what_is_no_head_is_named(obj_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="clone of github.com/ICT-VGL/ICT-FaceKit"):
        load_head(tmp_path / "elsewhere")
    (obj_folder / "identity000.obj").write_text("v 0 0 0\n", "utf-8")
    with pytest.raises(InputError, match=r"identity000\.obj: 1 vertices, the neutral mesh has 5"):
        load_head(obj_folder)
    (obj_folder / CONVERTED).write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"ict_facekit\.npz: cannot be read"):
        load_head(obj_folder)
