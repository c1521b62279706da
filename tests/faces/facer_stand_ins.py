"""What stands in for facer and for its weights: networks that read colours, and a double of the package.

The real weights cannot be had in a test. The stand-ins take and give what FaRL's networks do, as TorchScript in files
that this writes; a picture whose parts are painted in known colours is to them what a photograph is to those. They run
inside the real package where it is installed, and always inside a double that keeps its documented contract, with its
traps.
"""

from __future__ import annotations

import io
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model_core.types import PALETTE, Component

LAPA = ("background", "face", "rb", "lb", "re", "le", "nose", "ulip", "imouth", "llip", "hair")
CELEBM = (
    *("background", "neck", "face", "cloth", "rr", "lr", "rb", "lb", "re", "le", "nose", "imouth", "llip", "ulip"),
    *("hair", "eyeg", "hat", "earr", "neck_l"),
)
GROUND, SKIN, HAIR, NECK, CLOTH, HAT = (
    (20, 20, 20),
    (224, 176, 144),
    (64, 40, 16),
    (144, 96, 64),
    (80, 80, 80),
    (0, 64, 64),
)

_OF_LAPA = {
    **{"background": (GROUND, NECK, CLOTH, HAT, (0, 0, 0)), "face": (SKIN,), "hair": (HAIR,)},
    "rb": (PALETTE[Component.RIGHT_BROW],),
    "lb": (PALETTE[Component.LEFT_BROW],),
    "re": (PALETTE[Component.RIGHT_EYE], PALETTE[Component.RIGHT_IRIS]),
    "le": (PALETTE[Component.LEFT_EYE], PALETTE[Component.LEFT_IRIS]),
    "nose": (PALETTE[Component.NOSE],),
    "ulip": (PALETTE[Component.UPPER_LIP],),
    "imouth": (PALETTE[Component.INNER_MOUTH],),
    "llip": (PALETTE[Component.LOWER_LIP],),
}
_OF_CELEBM = {**_OF_LAPA, "background": (GROUND, (0, 0, 0)), "neck": (NECK,), "cloth": (CLOTH,), "hat": (HAT,)}


def paint(labels: np.ndarray) -> np.ndarray:
    """The picture (H, W, 3) whose parts the stand-ins read as ``labels`` says."""
    colours = np.tile(np.uint8(GROUND), (256, 1))
    for component, colour in PALETTE.items():
        colours[component] = colour
    for label, colour in ((Component.FACE, SKIN), (12, HAIR), (13, NECK), (14, CLOTH), (15, HAT)):
        colours[label] = colour
    return colours[labels]


class ColourParser(nn.Module):
    """Per pixel and label, how near the colour is to the nearest of the label's own."""

    def __init__(self, colours: list[tuple[tuple[int, int, int], ...]]) -> None:
        super().__init__()
        most = max(len(own) for own in colours)
        table = [[*own, *(own[-1],) * (most - len(own))] for own in colours]
        self.register_buffer("colours", torch.tensor(table, dtype=torch.float32) / 255.0)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        away = torch.jit.annotate(list[Tensor], [])
        for label in range(self.colours.shape[0]):
            each = images[:, None] - self.colours[label][None, :, :, None, None]
            away.append(each.square().sum(2).amin(1))
        return -50.0 * torch.stack(away, dim=1), images


class ColourAligner(nn.Module):
    """Heat maps of WFLW's points that colours tell: the pupils, and the corners of the eyes."""

    def __init__(self) -> None:
        super().__init__()
        parts = (Component.RIGHT_EYE, Component.RIGHT_IRIS, Component.LEFT_EYE, Component.LEFT_IRIS)
        self.register_buffer("colours", torch.tensor([PALETTE[part] for part in parts], dtype=torch.float32) / 255.0)

    def forward(self, features: list[Tensor]) -> Tensor:
        images = features[0]
        near = (images[:, None] - self.colours[None, :, :, None, None]).square().sum(2) < 0.02
        column = torch.arange(images.shape[3], device=images.device).float()[None, None, :]
        logits = torch.zeros(images.shape[0], 98, images.shape[2], images.shape[3], device=images.device)
        for side in range(2):
            iris, eye = near[:, 2 * side + 1], near[:, 2 * side] | near[:, 2 * side + 1]
            logits[:, 96 + side] = torch.where(iris, 20.0, -20.0)
            left = torch.where(eye, column, 1e4).amin(2, keepdim=True).amin(1, keepdim=True)
            right = torch.where(eye, column, -1e4).amax(2, keepdim=True).amax(1, keepdim=True)
            logits[:, 60 + 8 * side] = torch.where(eye & (column < left + 3.0), 20.0, -20.0)
            logits[:, 64 + 8 * side] = torch.where(eye & (column > right - 3.0), 20.0, -20.0)
        return logits


class PlainBackbone(nn.Module):
    """In the place of FaRL's 86 million weights: the picture itself as the only feature."""

    def __init__(self, *settings: Any, **more: Any) -> None:
        super().__init__()

    def forward(self, image: Tensor) -> tuple[list[Tensor], Tensor]:
        return [image], image


def save_parser(path: Path, names: tuple[str, ...] = LAPA) -> Path:
    colours = _OF_LAPA if names == LAPA else _OF_CELEBM
    unseen = ((255, 0, 128),)  # labels that no picture of these tests shows
    torch.jit.script(ColourParser([colours.get(name, unseen) for name in names])).save(str(path))
    return path


def save_aligner(path: Path) -> Path:
    weights = io.BytesIO()
    torch.save({}, weights)
    torch.jit.save(torch.jit.script(ColourAligner()), str(path), _extra_files={"backbone": weights.getvalue()})
    return path


class _Detector:
    def __init__(self, path: str, threshold: float) -> None:
        self.known, self.threshold = torch.load(path, weights_only=True), threshold

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        assert images.ndim == 4 and images.shape[1] == 3
        images.sub_(1)  # the real one once subtracted its mean in place
        sure = self.known["scores"] > self.threshold
        if not sure.any():
            return {name: torch.Tensor() for name in ("rects", "points", "scores", "image_ids")}
        found = {name: value[sure] for name, value in self.known.items()}
        return {**found, "image_ids": torch.zeros(len(found["scores"]))}


class _Parser:
    def __init__(self, names: tuple[str, ...], path: str, device: Any) -> None:
        self.names, self.net = names, torch.jit.load(path, map_location=device)

    def __call__(self, images: Tensor, data: dict[str, Any]) -> dict[str, Any]:
        if len(data["rects"]) == 0:
            raise IndexError("tensors used as indices must be long tensors")
        assert images.max() > 1 and images.dtype == torch.uint8
        seen = F.interpolate(images[data["image_ids"]].float() / 255.0, (448, 448), mode="bilinear")
        logits = F.interpolate(self.net(seen)[0], images.shape[-2:], mode="bilinear")
        return {**data, "seg": {"logits": logits, "label_names": list(self.names)}}


class _Aligner:
    def __init__(self, path: str, device: Any) -> None:
        assert "jit" in path, "needs mmseg"
        self.net = torch.jit.load(path, map_location=device)

    def __call__(self, images: Tensor, data: dict[str, Any]) -> dict[str, Any]:
        if len(data["rects"]) == 0:
            raise IndexError("tensors used as indices must be long tensors")
        heat = torch.sigmoid(self.net([images[data["image_ids"]].float() / 255.0]))
        rows, columns = (torch.arange(side).float() for side in heat.shape[-2:])
        total = heat.sum((2, 3)).clamp(min=1e-6)
        x, y = (heat.sum(2) * columns).sum(2) / total, (heat.sum(3) * rows).sum(2) / total
        return {**data, "alignment": torch.stack([x, y], dim=-1)}


def double() -> ModuleType:
    """A package with facer's three constructors, which reads the stand-ins without facer's warps."""
    facer = ModuleType("facer")

    def face_detector(name: str, device: Any, *, model_path: str, threshold: float = 0.8) -> _Detector:
        assert name == "retinaface/mobilenet"
        return _Detector(model_path, threshold)

    def face_parser(name: str, device: Any, *, model_path: str) -> _Parser:
        return _Parser({"farl/lapa/448": LAPA, "farl/celebm/448": CELEBM}[name], model_path, device)

    def face_aligner(name: str, device: Any, *, model_path: str) -> _Aligner:
        assert name == "farl/wflw/448"
        return _Aligner(model_path, device)

    for function in (face_detector, face_parser, face_aligner):
        setattr(facer, function.__name__, function)
    return facer
