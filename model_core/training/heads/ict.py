"""ICT-FaceKit's head: a neutral mesh, 100 identity and 57 expression shapes that are added to it.

Units are centimetres, y up, z towards the viewer. The shapes are linear, and their expressions are ARKit's, by side.
Source: github.com/ICT-VGL/ICT-FaceKit (MIT), folder ``FaceXModel``; Li et al., "Learning Formation of Physically-Based
Face Attributes", CVPR 2020.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import InputError
from ...files import atomic_path
from ...paths import exists, readable_file, writing

NEUTRAL_OBJ = "generic_neutral_mesh.obj"
CONVERTED = "ict_facekit.npz"
_IDENTITY = "identity"
_SIDES = {"Left": "_L", "Right": "_R"}


@dataclass(frozen=True)
class Head:
    """The morphable head.

    Attributes:
        neutral: (V, 3) float32, the mean face at rest.
        faces: (T, 3) int32, triangles, counter-clockwise seen from outside.
        faces_uv, uv: (T, 3) int32 and (U, 2) float32, texture coordinates.
        material: (T,) int8, for each triangle the number of its material.
        materials: their names, "M_Face" and so on.
        identity: (I, V, 3), the offsets of the identity shapes; weights of N(0, 1) look natural.
        expression: (E, V, 3), those of the expression shapes.
        expression_names: theirs, such as "mouthSmile_L".
    """

    neutral: np.ndarray
    faces: np.ndarray
    faces_uv: np.ndarray
    uv: np.ndarray
    material: np.ndarray
    materials: tuple[str, ...]
    identity: np.ndarray
    expression: np.ndarray
    expression_names: tuple[str, ...]

    def shape(self, identity: np.ndarray | None = None, expression: Mapping[str, float] | None = None) -> np.ndarray:
        """(V, 3) float32, one head.

        Args:
            identity: (at most I,) weights.
            expression: coefficients by ARKit's names; linear, also beyond 1.
        """
        made = self.neutral.astype(np.float32, copy=True)
        if identity is not None:
            made += np.tensordot(identity.astype(np.float32), self.identity[: len(identity)], axes=1)
        return self.expressed(made, expression or {})

    def expressed(self, positions: np.ndarray, expression: Mapping[str, float]) -> np.ndarray:
        """(V, 3) float32, a shaped head in another expression: what ``shape`` makes, at less cost for many of one."""
        made = positions.astype(np.float32, copy=True)
        for name, coefficient in expression.items():
            for shape in self.expressions(name):
                made += np.float32(coefficient) * self.expression[shape]
        return made

    def expressions(self, name: str) -> list[int]:
        """The shapes that make one of ARKit's expressions: one, or where only halves exist, both.

        Raises:
            InputError: this head has none of that name.
        """
        sided = next((name.removesuffix(side) + mark for side, mark in _SIDES.items() if name.endswith(side)), name)
        # "mouthLeft" is a direction, "eyeBlinkLeft" a side
        for wanted in ([name], [sided], [f"{name}_L", f"{name}_R"]):
            if set(wanted) <= set(self.expression_names):
                return [self.expression_names.index(part) for part in wanted]
        raise InputError(f"head: has no expression {name!r}; it has {', '.join(self.expression_names)}")

    def triangles(self, *materials: str) -> np.ndarray:
        """(T, 3) those of some materials."""
        return self.faces[np.isin(self.material, [self.materials.index(name) for name in materials])]


def load_head(path: Path) -> Head:
    """Read the head from a clone of ICT-FaceKit, its folder of OBJ files, or a converted .npz.

    The folder's 158 text files take a minute; what they say is kept as ``ict_facekit.npz`` among them.

    Raises:
        InputError: there is no head, or it is damaged.
    """
    if not exists(path):
        raise InputError(f"head {path}: no such file or folder; give a clone of github.com/ICT-VGL/ICT-FaceKit")
    if path.is_file():
        return _load_npz(readable_file(path, name="head"))
    folder = path / "FaceXModel" if (path / "FaceXModel").is_dir() else path
    if (folder / CONVERTED).is_file():
        return _load_npz(folder / CONVERTED)
    if not (folder / NEUTRAL_OBJ).is_file():
        raise InputError(
            f"head {path}: has no {NEUTRAL_OBJ}; give the folder of a clone of github.com/ICT-VGL/ICT-FaceKit"
        )
    head = _convert(folder)
    with writing(folder / CONVERTED), atomic_path(folder / CONVERTED) as partial:
        np.savez_compressed(partial, **vars(head))
    return head


def _load_npz(path: Path) -> Head:
    try:
        with np.load(path, allow_pickle=False) as file:
            parts = {name: file[name] for name in Head.__dataclass_fields__}
    except (OSError, ValueError, KeyError, EOFError, SyntaxError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"head {path}: cannot be read ({error}); remove it and convert the OBJ files again") from error
    for name in ("materials", "expression_names"):
        parts[name] = tuple(parts[name].tolist())
    return Head(**parts)


def _convert(folder: Path) -> Head:
    neutral, uv, faces, faces_uv, names = _read_mesh(folder / NEUTRAL_OBJ)
    materials = tuple(dict.fromkeys(names))
    others = sorted(path for path in folder.glob("*.obj") if path.name != NEUTRAL_OBJ)
    shapes = {path.stem: (_read_vertices(path, len(neutral)) - neutral).astype(np.float16) for path in others}
    expressions = tuple(name for name in shapes if not name.startswith(_IDENTITY))
    nothing = [np.zeros((0, *neutral.shape), np.float16)]
    return Head(
        neutral=neutral,
        faces=faces,
        faces_uv=faces_uv,
        uv=uv,
        material=np.array([materials.index(name) for name in names], dtype=np.int8),
        materials=materials,
        identity=np.concatenate(nothing + [shapes[name][None] for name in shapes if name.startswith(_IDENTITY)]),
        expression=np.concatenate(nothing + [shapes[name][None] for name in expressions]),
        expression_names=expressions,
    )


def _read_mesh(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """Vertices, texture coordinates, triangles of both, and each triangle's material."""
    vertices, uv, faces, faces_uv, names = [], [], [], [], []
    material = "none"
    for kind, values in _lines(path):
        if kind == "v":
            vertices.append(values[:3])
        elif kind == "vt":
            uv.append(values[:2])
        elif kind == "usemtl":
            material = values[0]
        elif kind == "f":
            corners = [[int(number or 0) - 1 for number in corner.split("/")[:2]] for corner in values]
            for second, third in zip(corners[1:], corners[2:], strict=False):  # a fan: quads become two triangles
                fan = (corners[0], second, third)
                faces.append([corner[0] for corner in fan])
                faces_uv.append([corner[1] if len(corner) > 1 else -1 for corner in fan])
                names.append(material)
    if not vertices or not faces:
        raise InputError(f"head {path}: has no mesh; clone the repository again")
    numbers = np.array(vertices, dtype=np.float32), np.array(uv, dtype=np.float32).reshape(-1, 2)
    return *numbers, np.array(faces, dtype=np.int32), np.array(faces_uv, dtype=np.int32), names


def _read_vertices(path: Path, count: int) -> np.ndarray:
    made = np.array([values[:3] for kind, values in _lines(path) if kind == "v"], dtype=np.float32)
    if made.shape != (count, 3):
        raise InputError(f"head {path}: {len(made)} vertices, the neutral mesh has {count}; clone the repository again")
    return made


def _lines(path: Path) -> Iterator[tuple[str, list[str]]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            kind, *values = line.split() or [""]
            yield kind, values
