"""The networks and packages that measuring takes, where this machine has them; what it has not is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import torch

from ..errors import DependencyError
from ..faces.analyzer import FaceAnalyzer
from . import metrics
from .expression_reader import ExpressionReader
from .extractors import (
    IdentityExtractor,
    LandmarkExtractor,
    PerceptualDistance,
    landmark_extractor,
    perceptual_distance,
)
from .identity import dlib_identity

_Instrument = TypeVar("_Instrument")

LANDMARKS, PERCEPTUAL, SSIM = "landmark error", "ST-LPIPS", "SSIM"
EXPRESSION, IDENTITY = "expression and pose", "identity"
"""What is not measured without an instrument, as ``Instruments.missing`` names it."""


@dataclass(frozen=True)
class Instruments:
    """What measures; None is not on this machine.

    Attributes:
        landmarks: finds the landmarks of a frame.
        perceptual: ST-LPIPS.
        ssim: whether SSIM can be computed.
        expression: reads blendshapes and pose.
        identity: recognises a face.
        missing: by what is not measured, why, and how to get it.
    """

    landmarks: LandmarkExtractor | None = None
    perceptual: PerceptualDistance | None = None
    ssim: bool = True
    expression: ExpressionReader | None = None
    identity: IdentityExtractor | None = None
    missing: dict[str, str] = field(default_factory=dict)


def find_instruments(analyzer: Callable[[], FaceAnalyzer], *, device: torch.device) -> Instruments:
    """Load what there is.

    Args:
        analyzer: makes what finds faces.
        device: of the perceptual network.
    """
    missing: dict[str, str] = {}

    def loaded(name: str, load: Callable[[], _Instrument]) -> _Instrument | None:
        try:
            return load()
        except DependencyError as error:
            missing[name] = str(error)
            return None

    return Instruments(
        landmarks=loaded(LANDMARKS, lambda: landmark_extractor(analyzer())),
        perceptual=loaded(PERCEPTUAL, lambda: perceptual_distance(device=device)),
        ssim=loaded(SSIM, _check_ssim) is not None,
        expression=loaded(EXPRESSION, ExpressionReader),
        identity=loaded(IDENTITY, lambda: dlib_identity(analyzer())),
        missing=missing,
    )


def _check_ssim() -> bool:
    black = torch.zeros(1, 3, 16, 16)
    metrics.ssim(black, black)
    return True
