"""What ``compare --metrics`` prints: how much of the driver's expression each model's frames show."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping

import numpy as np

from ..errors import DependencyError
from ..evaluation.expression import score_pair, summarise_expression
from ..evaluation.expression_reader import ExpressionReader
from ..evaluation.extractors import IdentityExtractor
from ..evaluation.identity import dlib_identity, mean_identity
from ..faces.mediapipe_backend import MediaPipeAnalyzer
from .measure import summary_table


def print_metrics(reference: np.ndarray, driving: np.ndarray, frames_by_name: Mapping[str, np.ndarray]) -> None:
    """A table with a line for each model, see ``evaluation.expression``.

    Identity is measured where dlib is installed; where not, a line on stderr says how to get it.

    Args:
        reference: (H, W, 3) uint8 RGB.
        driving: (F, H, W, 3) uint8 RGB.
        frames_by_name: (F, H, W, 3) uint8 RGB by the model's name.
    """
    reader = ExpressionReader()
    own, driven = reader(reference), reader.read(driving)
    extractor = _identity_extractor()
    summaries = []
    for name, frames in frames_by_name.items():
        identity = math.nan if extractor is None else mean_identity(extractor, frames, reference, name="the portrait")
        pair = score_pair(name, driven, reader.read(frames), reference=own, identity=identity)
        summaries.append(summarise_expression(name, [pair]))
    print(summary_table(summaries), end="")


def _identity_extractor() -> IdentityExtractor | None:
    try:
        return dlib_identity(MediaPipeAnalyzer())
    except DependencyError as error:
        print(f"identity is left out: {error}", file=sys.stderr)
        return None
