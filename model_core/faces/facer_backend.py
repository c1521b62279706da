"""The papers' face analyser: facer, with FaRL's networks.

RetinaFace finds the faces; FaRL's parser says of every pixel which part of the face it is, and FaRL's landmarks where
the pupils are, which the parser's map lacks: they are drawn into it as irises. So the label maps of this analyser have
the components of those that are drawn from MediaPipe's landmarks, and a model need not know which made them.

Landmarks of a face are MediaPipe's mesh where its landmarker, looking at the face that RetinaFace found, sees it too:
nothing in facer has the depth and the 478 points that alignment, crops and drawn landmarks are made of. Where it does
not, or is not there, WFLW's 98 points give the outlines (wflw.py).

facer is imported here only: it needs torchvision, which ComfyUI has and a plain environment need not. Its weights are
searched, never fetched. They hold programs for torch's own interpreter (TorchScript), which reaches neither Python nor
files; files found by their names are checked against the catalog.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import CheckpointError, DependencyError
from ..geometry import Placement
from ..types import Component, PersonPart
from ..weights.catalog import FACER_ALIGNER, FACER_DETECTOR, FACER_PARSER, FACER_PERSON_PARSER, Download, verify
from .analyzer import FaceAnalyzer, FaceDetection, check_frame
from .wflw import NUM_POINTS, iris_axes, mesh_from_wflw

_DETECTOR_SIDE = 1024  # the longer side of what RetinaFace sees, at most
# Sides of the crops that the networks see, in sizes of the face and, at most, in pixels: memory grows with
# 11 and 19 logits, or 98 heat maps, per pixel. Hair and shoulders take the parsers' wider view.
_PARSER_CROP, _PARSER_SIDE = 3.0, 768
_ALIGNER_CROP, _ALIGNER_SIDE = 1.8, 448
_MESH_CROP = 2.2
_SAME_FACE = 0.3  # overlap (intersection over union) from which on a mesh and a detection are one face

_LAPA: Mapping[str, int] = MappingProxyType(
    {
        "background": Component.BACKGROUND,
        "face": Component.FACE,
        "rb": Component.RIGHT_BROW,
        "lb": Component.LEFT_BROW,
        "re": Component.RIGHT_EYE,
        "le": Component.LEFT_EYE,
        "nose": Component.NOSE,
        "ulip": Component.UPPER_LIP,
        "imouth": Component.INNER_MOUTH,
        "llip": Component.LOWER_LIP,
        "hair": PersonPart.HAIR,
    }
)
# of the second parser only what the first one does not know
_AROUND: Mapping[str, int] = MappingProxyType(
    {
        "neck": PersonPart.SKIN,
        "rr": PersonPart.SKIN,
        "lr": PersonPart.SKIN,
        "earr": PersonPart.SKIN,
        "neck_l": PersonPart.SKIN,
        "cloth": PersonPart.CLOTHES,
        "hair": PersonPart.HAIR,
        "hat": PersonPart.HAT,
    }
)
_EYE_OF = MappingProxyType({Component.RIGHT_IRIS: Component.RIGHT_EYE, Component.LEFT_IRIS: Component.LEFT_EYE})

Faces = dict[str, Any]
"""What facer calls data: rects (n, 4), points (n, 5, 2), scores (n,) and image_ids (n,) of n faces."""


@dataclass(frozen=True)
class _Found:
    """A face that RetinaFace found: box (4,) and five points (5, 2), float32 in pixels of the frame, and its score."""

    rect: np.ndarray
    points: np.ndarray
    score: float


class FacerAnalyzer:
    """Finds and parses faces with facer; a ``FaceAnalyzer``.

    ``confidence`` of its detections is RetinaFace's score. Every face of a frame is parsed, which takes seconds on a
    CPU: an analyser for GPUs.

    Args:
        folders: where to search for the weights, before torch.hub's own folder; see ``find_weights``.
        device: for all networks.
        person: whether a second parser labels neck, ears, clothes and hat, for masks of the whole person.
        mesh: gives the landmarks where it sees the face, such as ``MediaPipeAnalyzer(tiles=False)``.
        detector_path, parser_path, aligner_path, person_path: weights to take instead, unchecked; facer
            wants "jit" in the name of the aligner's.
        min_confidence: of RetinaFace, in [0, 1].
        max_faces: at most so many faces in a frame, the largest ones.
    Raises:
        DependencyError: facer or a weights file is missing.
        CheckpointError: a file is not the published one, or cannot be read.
    """

    def __init__(
        self,
        *,
        folders: Sequence[str | Path] = (),
        device: str | torch.device = "cpu",
        person: bool = False,
        mesh: FaceAnalyzer | None = None,
        detector_path: str | Path | None = None,
        parser_path: str | Path | None = None,
        aligner_path: str | Path | None = None,
        person_path: str | Path | None = None,
        min_confidence: float = 0.8,
        max_faces: int = 4,
    ) -> None:
        facer = _import_facer()
        self.kind = "facer_person" if person else "facer"
        self.max_faces = max_faces
        self._mesh = mesh
        self._device = torch.device(device)
        detector = find_weights(FACER_DETECTOR, detector_path, folders=folders)
        parser = find_weights(FACER_PARSER, parser_path, folders=folders)
        aligner = find_weights(FACER_ALIGNER, aligner_path, folders=folders)
        around = find_weights(FACER_PERSON_PARSER, person_path, folders=folders) if person else None
        self._detector = _load(
            facer.face_detector, "retinaface/mobilenet", detector, self._device, threshold=min_confidence
        )
        self._parser = _load(facer.face_parser, "farl/lapa/448", parser, self._device)
        self._aligner = _load(facer.face_aligner, "farl/wflw/448", aligner, self._device)
        self._around = None if around is None else _load(facer.face_parser, "farl/celebm/448", around, self._device)

    def detect(self, frame: np.ndarray) -> list[FaceDetection]:
        """All faces of an (H, W, 3) uint8 RGB frame, largest first."""
        check_frame(frame, name="frame")
        faces = [self._analyse(frame, face) for face in self._find(frame)]
        return [face for face in faces if face is not None]

    @torch.inference_mode()
    def _find(self, frame: np.ndarray) -> list[_Found]:
        """The faces, largest first."""
        scale = min(1.0, _DETECTOR_SIDE / max(frame.shape[:2]))
        small = frame if scale == 1.0 else cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        if _too_dark(small):
            return []
        faces = self._detector(_pictures(small, self._device))
        if faces["rects"].numel() == 0:
            return []
        scales = np.array((frame.shape[1] / small.shape[1], frame.shape[0] / small.shape[0]), dtype=np.float32)
        rects = faces["rects"].float().cpu().numpy() * np.tile(scales, 2)
        points = faces["points"].float().cpu().numpy() * scales
        sides = np.maximum(rects[:, 2:] - rects[:, :2], 0)
        largest = np.argsort(-sides.prod(axis=1), kind="stable")[: self.max_faces]
        return [_Found(rects[n], points[n], float(faces["scores"][n])) for n in largest if sides[n].min() >= 1]

    def _analyse(self, frame: np.ndarray, face: _Found) -> FaceDetection | None:
        """Landmarks and label map of one face; None where its surroundings are too dark to show one."""
        wide = _Crop.around(face.rect, frame, _PARSER_CROP, most=_PARSER_SIDE)
        near = _Crop.around(face.rect, frame, _ALIGNER_CROP, most=_ALIGNER_SIDE)
        if _too_dark(near.cut(frame)):
            return None
        labels: np.ndarray = np.zeros(frame.shape[:2], dtype=np.uint8)
        labels[wide.inside] = self._parse(self._parser, _LAPA, wide, frame, face)
        if self._around is not None:
            around = self._parse(self._around, _AROUND, wide, frame, face)
            labels[wide.inside] = np.where(labels[wide.inside] == Component.BACKGROUND, around, labels[wide.inside])
        outline = self._align(near, frame, face)
        draw_irises(labels, outline)
        landmarks = self._landmarks(frame, face.rect, outline)
        low, high = landmarks[:, :2].min(axis=0), landmarks[:, :2].max(axis=0)
        return FaceDetection(np.concatenate([low, high]), landmarks, face.score, labels)

    @torch.inference_mode()
    def _parse(
        self, parser: Callable[..., Faces], names: Mapping[str, int], crop: _Crop, frame: np.ndarray, face: _Found
    ) -> np.ndarray:
        """(crop.height, crop.width) uint8 of the labels that ``names`` knows, 0 elsewhere."""
        found = parser(_pictures(crop.cut(frame), self._device), crop.faces(face, self._device))["seg"]
        known = [int(names.get(name, Component.BACKGROUND)) for name in found["label_names"]]
        best = largest_logit(found["logits"], (crop.height, crop.width))
        return np.array(known, dtype=np.uint8)[best.cpu().numpy()]

    @torch.inference_mode()
    def _align(self, crop: _Crop, frame: np.ndarray, face: _Found) -> np.ndarray:
        """WFLW's (98, 2) points in pixels of the frame, whose first pixel's middle is at 0.5."""
        found = self._aligner(_pictures(crop.cut(frame), self._device), crop.faces(face, self._device))
        points = found["alignment"][0].float().cpu().numpy()
        if points.shape != (NUM_POINTS, 2):
            raise CheckpointError(f"facer's aligner gives points of shape {points.shape}; take its wflw weights")
        return crop.place.points(points + np.float32(0.5))  # facer counts from the middle of the first pixel

    def _landmarks(self, frame: np.ndarray, rect: np.ndarray, outline: np.ndarray) -> np.ndarray:
        """(478, 3): the mesh where it is seen, else what WFLW's points tell of it."""
        if self._mesh is not None:
            near = _Crop.around(rect, frame, _MESH_CROP, most=_DETECTOR_SIDE)
            meshes = [face.landmarks for face in self._mesh.detect(near.cut(frame))]
            placed = [near.place.points(mesh) for mesh in meshes]
            overlaps = [_overlap(rect, mesh) for mesh in placed]
            if overlaps and max(overlaps) >= _SAME_FACE:
                return placed[int(np.argmax(overlaps))].astype(np.float32)
        return mesh_from_wflw(outline)


def find_weights(entry: Download, path: str | Path | None = None, *, folders: Sequence[str | Path] = ()) -> Path:
    """A weights file: the path given, else by its name in one of the folders, else in torch.hub's checkpoints.

    Raises:
        DependencyError: it is nowhere; the message says how to get it.
        CheckpointError: a file of that name is there, but is not the published one.
    """
    if path is not None and Path(path).is_file():
        return Path(path)
    hub = Path(torch.hub.get_dir()) / "checkpoints"
    places = [Path(path)] if path is not None else [Path(folder) / entry.name for folder in (*folders, hub)]
    for place in places:
        if path is None and place.is_file():
            verify(place, entry)
            return place
    raise DependencyError(
        f"{entry.name}, one of facer's networks, was not found (searched: {', '.join(map(str, places))}). Fetch it "
        f"with the node Download Portrait Model, or put the file from {entry.url} into the models folder."
    )


def draw_irises(labels: np.ndarray, points: np.ndarray) -> None:
    """Draw the irises into the eyes of a label map, in place: only pixels of the eyes change.

    Args:
        labels: (H, W) uint8 of ``Component``.
        points: WFLW's (98, 2) in pixels of the map, whose first pixel's middle is at 0.5.
    """
    for iris, eye in _EYE_OF.items():
        centre, along, down = iris_axes(points, iris)
        # as a test of every pixel of the eye: exact, and a pupil may lie outside the picture
        rows, columns = np.nonzero(labels == eye)
        offset = np.stack([columns + 0.5, rows + 0.5], axis=1) - centre
        x = offset @ along / max(float(along @ along), 1e-9)
        y = offset @ down / max(float(down @ down), 1e-9)
        inside = x * x + y * y <= 1.0
        labels[rows[inside], columns[inside]] = iris


def largest_logit(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Which logit is the largest; where they have to be enlarged, one at a time, to spare memory.

    Args:
        logits: (1, K, h, w).
        size: (H, W) of the result.
    Returns:
        (H, W) int64.
    """
    if tuple(logits.shape[-2:]) == size:
        return logits[0].argmax(dim=0)
    best = torch.zeros(size, dtype=torch.int64, device=logits.device)
    highest = torch.full(size, -torch.inf, device=logits.device)
    for number in range(logits.shape[1]):
        value = F.interpolate(logits[:, [number]].float(), size, mode="bilinear", align_corners=False)[0, 0]
        best = torch.where(value > highest, number, best)
        highest = torch.maximum(value, highest)
    return best


@dataclass(frozen=True)
class _Crop:
    """A part of the frame, and the smaller picture of it that a network sees.

    Attributes:
        left, top, width, height: whole pixels inside the frame.
        seen: (width, height) of the picture.
        frame: (H, W).
    """

    left: int
    top: int
    width: int
    height: int
    seen: tuple[int, int]
    frame: tuple[int, int]

    @classmethod
    def around(cls, rect: np.ndarray, frame: np.ndarray, scale: float, *, most: int) -> _Crop:
        """The square of ``scale`` sizes of a face, as far as it lies in the frame; seen as if it were at most
        ``most`` pixels wide."""
        side = max(scale * float((rect[2:] - rect[:2]).max()), 8.0)
        limit = np.array((frame.shape[1], frame.shape[0]))
        middle = (rect[:2] + rect[2:]) / 2.0
        low = np.clip(np.floor(middle - side / 2), 0, limit - 1).astype(int)
        high = np.clip(np.ceil(middle + side / 2), low + 1, limit).astype(int)
        width, height = (high - low).tolist()
        shrink = max(side / most, 1.0)
        seen = (max(round(width / shrink), 1), max(round(height / shrink), 1))
        return cls(int(low[0]), int(low[1]), width, height, seen, frame.shape[:2])

    @property
    def inside(self) -> tuple[slice, slice]:
        """Rows and columns of the frame."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    @property
    def place(self) -> Placement:
        """From the picture to the frame, in float32."""
        scale = np.array((self.width / self.seen[0], self.height / self.seen[1], self.width / self.seen[0]), np.float32)
        return Placement(scale, np.zeros(3, np.float32), np.array((self.left, self.top, 0), np.float32), self.frame)

    def cut(self, frame: np.ndarray) -> np.ndarray:
        """The picture, (h, w, 3) uint8."""
        if self.seen == (self.width, self.height):
            return np.ascontiguousarray(frame[self.inside])
        return cv2.resize(frame[self.inside], self.seen, interpolation=cv2.INTER_AREA)

    def faces(self, face: _Found, device: torch.device) -> Faces:
        """A face as facer hands it on, in pixels of the picture."""
        return {
            "rects": torch.from_numpy(self.place.back(face.rect.reshape(2, 2)).reshape(1, 4)).to(device),
            "points": torch.from_numpy(self.place.back(face.points))[None].to(device),
            "scores": torch.tensor([face.score], device=device),
            "image_ids": torch.zeros(1, dtype=torch.int64, device=device),
        }


def _pictures(picture: np.ndarray, device: torch.device) -> Tensor:
    """(1, 3, H, W) uint8, a copy: facer's detector has changed what it was given."""
    return torch.tensor(picture, device=device).permute(2, 0, 1)[None].contiguous()


def _too_dark(picture: np.ndarray) -> bool:
    """Whether facer could not tell this 8-bit picture from one in [0, 1]; no face shows in it either."""
    return picture.size == 0 or int(picture.max()) <= 1


def _overlap(rect: np.ndarray, mesh: np.ndarray) -> float:
    """Intersection over union of a detection's box and a mesh's."""
    low, high = mesh[:, :2].min(axis=0), mesh[:, :2].max(axis=0)
    shared = np.maximum(np.minimum(rect[2:], high) - np.maximum(rect[:2], low), 0).prod()
    return float(shared / max((rect[2:] - rect[:2]).prod() + (high - low).prod() - shared, 1e-6))


def _import_facer() -> ModuleType:
    try:
        import facer
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision that was built for another torch
        raise DependencyError(
            f"facer cannot be imported ({error}). In the Python that runs this, which has torch and torchvision: "
            "pip install --no-deps pyfacer==0.0.5, then pip install timm validators scikit-image"
        ) from error
    module: ModuleType = facer
    return module


def _load(make: Callable[..., Any], name: str, path: Path, device: torch.device, **settings: Any) -> Any:
    """One of facer's networks from a file."""
    benchmark = torch.backends.cudnn.benchmark
    try:
        _refuse_programs(path)
        return make(name, device, model_path=str(path), **settings)
    except (RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path}: facer cannot read it as {name} ({error}); get the file again") from error
    finally:
        torch.backends.cudnn.benchmark = benchmark  # facer switches it on for the whole process


def _refuse_programs(path: Path) -> None:
    """Raise unless the pickles in a file hold tensors only; older torch would run what else they hold."""
    if not zipfile.is_zipfile(path):
        torch.load(path, map_location="meta", weights_only=True)
        return
    with zipfile.ZipFile(path) as archive:
        embedded = [name for name in archive.namelist() if name.endswith("/extra/backbone")]
        if not any(name.endswith("/constants.pkl") for name in archive.namelist()):  # no TorchScript
            torch.load(path, map_location="meta", weights_only=True)
        for name in embedded:
            torch.load(io.BytesIO(archive.read(name)), map_location="meta", weights_only=True)
