"""Whose face it is: dlib's face recognition network, whose weights come in a package and need no network access."""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import DependencyError, FaceNotFoundError
from ..faces.analyzer import FaceAnalyzer
from .extractors import IdentityExtractor, identity_similarity

SAMPLED_EVERY = 5
"""One frame in five of a clip is recognised: neighbours differ little, and a face takes 0.15 s."""

_WEIGHTS_PACKAGE = "face_recognition_models"
_WEIGHTS = "models/dlib_face_recognition_resnet_model_v1.dat"
_DIMENSIONS = 128
# dlib's five points, the picture's right eye first (outer and inner corner), then its left one, then below the nose
_FIVE_POINTS = (263, 362, 33, 133, 2)


def dlib_identity(analyzer: FaceAnalyzer) -> IdentityExtractor:
    """dlib's ResNet-34 as an ``IdentityExtractor`` of 128 dimensions, for the largest face of a frame.

    The face is aligned by the analyser's landmarks instead of dlib's, which find fewer turned and painted faces; on
    photographs where both find it, the embeddings agree to a cosine of 0.99 and more. The network was trained for
    distances between embeddings that lie in a narrow cone, so cosines are compressed: photographs of strangers come
    to 0.84 on average, nine in ten of them to between 0.76 and 0.90. Compare methods by it; it is no probability.

    Raises:
        DependencyError: dlib or the weights are not installed; the message says how to get them.
    Source: Davis King, dlib-models (dlib_face_recognition_resnet_model_v1, CC0).
    """
    dlib, weights = _installed()
    network = dlib.face_recognition_model_v1(str(weights))

    def embed(frames: np.ndarray) -> Tensor:
        embeddings = torch.full((len(frames), _DIMENSIONS), math.nan)
        for index, frame in enumerate(frames):
            faces = analyzer.detect(frame)
            if faces:
                shape = _five_points(dlib, faces[0].landmarks)
                descriptor = network.compute_face_descriptor(np.ascontiguousarray(frame), shape)
                embeddings[index] = torch.tensor(list(descriptor))
        return torch.nn.functional.normalize(embeddings, dim=-1)

    return embed


def mean_identity(
    extractor: IdentityExtractor, frames: Iterable[np.ndarray], reference: np.ndarray, *, name: str
) -> float:
    """Mean cosine of the identities in every fifth frame to the portrait's, in [-1, 1].

    Args:
        frames: (H, W, 3) uint8 RGB each, of one size; those without a face are left out, NaN when no face remains.
        reference: (H, W, 3) uint8 RGB, the portrait.
        name: of the portrait, for the message.
    Raises:
        FaceNotFoundError: the portrait shows no face.
    """
    sampled = np.stack(list(itertools.islice(frames, 0, None, SAMPLED_EVERY)))
    cosines = identity_similarity(extractor, sampled, reference)
    found = cosines[torch.isfinite(cosines)]
    if len(found) == 0 and not torch.isfinite(extractor(reference[None])).all():
        raise FaceNotFoundError(f"{name}: no face whose identity could be kept; choose a portrait with a clear face")
    return float(found.mean()) if len(found) else math.nan


def _installed() -> tuple[Any, Path]:
    """The module dlib and the file of weights."""
    # looked up, not imported: the package needs pkg_resources, which new versions of setuptools lack
    package = importlib.util.find_spec(_WEIGHTS_PACKAGE)
    places = package.submodule_search_locations if package is not None else None
    files = [Path(place) / _WEIGHTS for place in places or () if (Path(place) / _WEIGHTS).is_file()]
    try:
        if not files:
            raise ImportError(f"{_WEIGHTS_PACKAGE} is not installed")
        return importlib.import_module("dlib"), files[0]
    except ImportError as error:
        raise DependencyError(
            f"measuring identity needs dlib and its weights ({error}): pip install dlib-bin face-recognition-models"
        ) from error


def _five_points(dlib: Any, landmarks: np.ndarray) -> Any:
    """Landmarks (478, 3) in pixels as dlib's predictor of five points would give them."""
    points = landmarks[list(_FIVE_POINTS), :2].round().astype(int)
    box = dlib.rectangle(*points.min(axis=0).tolist(), *points.max(axis=0).tolist())
    return dlib.full_object_detection(box, [dlib.point(*point) for point in points.tolist()])
