"""A head of a few triangles as OBJ files, and the real one where it is at hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from model_core.errors import DependencyError
from model_core.training.heads.ict import Head, load_head
from model_core.training.heads.render import Renderer

ICT = Path("shared", "heads", "ict_facekit.npz")
"""In a folder that this clone lies in."""


@pytest.fixture
def tiny() -> np.ndarray:
    """The five vertices of the tiny head at rest."""
    return np.float32([[0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1], [2, 0, 0]])


@pytest.fixture
def obj_folder(tmp_path: Path, tiny: np.ndarray) -> Path:
    """A quad of skin and a triangle of teeth, with one identity and two expressions."""
    rest = "\n".join(
        [
            "vt 0.25 0.5",
            "vt 0.75 0.5",
            "usemtl M_Face",
            "f 1/1/1 2/2/1 3/2/1 4/1/1",
            "usemtl M_Teeth",
            "f 2/1 5/2 3/1",
        ]
    )
    for name, moved in (
        ("generic_neutral_mesh", tiny),
        ("identity000", tiny + [0, 0, 0.5]),
        ("browInnerUp_L", tiny + [[0, 0.25, 0], *[[0, 0, 0]] * 4]),
        ("browInnerUp_R", tiny + [*[[0, 0, 0]] * 4, [0, 0.5, 0]]),
    ):
        vertices = "\n".join(f"v {x} {y} {z}" for x, y, z in moved.tolist())
        (tmp_path / f"{name}.obj").write_text(f"# a head\nmtllib head.mtl\n{vertices}\n{rest}\n", "utf-8")
    return tmp_path


@pytest.fixture(scope="session")
def ict_file() -> Path:
    found = next((folder / ICT for folder in Path(__file__).parents[4:] if (folder / ICT).is_file()), None)
    if found is None:
        pytest.skip(f"ICT-FACEKIT IS MISSING: no {ICT} around this clone, rendered heads go untested")
    return found


@pytest.fixture(scope="session")
def head(ict_file: Path) -> Head:
    return load_head(ict_file)


@pytest.fixture(scope="session")
def renderer() -> Iterator[Renderer]:
    try:
        made = Renderer()
    except DependencyError as error:
        pytest.skip(f"NOTHING CAN BE DRAWN, rendered heads go untested: {error}")
    with made:
        yield made
