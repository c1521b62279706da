"""A result against the frames that had to come out: whole, where people look, and over time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..images import to_uint8
from . import metrics
from .cases import Case
from .extractors import FoundLandmarks
from .instruments import Instruments
from .metrics import mean_of_found
from .regions import REGIONS, cut_out, face_regions

PICTURES = (
    *("psnr", "ssim", "perceptual", "mouth_psnr", "mouth_ssim", "mouth_perceptual", "inner_mouth_psnr"),
    *("eyes_psnr", "eyes_ssim", "eyes_perceptual", "lids_psnr", "landmark_error", "found"),
)
OVER_TIME = ("temporal_error", "warping_error", "seam_error")

_WHOLLY = ("mouth", "eyes")
"""Regions in which structure is compared too; the others come and go, and are small."""


class TruthMeter:
    """Measures any number of results of one case; what only depends on the truth is looked at once.

    Args:
        case: gives truth and landmarks.
        instruments: those that are None measure nothing.
    """

    def __init__(self, case: Case, instruments: Instruments) -> None:
        self._case = case
        self._instruments = instruments
        target = case.target
        size = (target.shape[-2], target.shape[-1])
        self._regions = face_regions(case.landmarks, case.own.landmarks[0], size)
        self._truth = self._look(target)

    def __call__(self, made: Tensor, *, seams: Sequence[int] = ()) -> dict[str, float]:
        """Means over the frames by name of ``scores.COLUMNS``.

        Args:
            made: (F, 3, H, W) in [-1, 1].
            seams: the first frames of the second and later chunks.
        """
        values = {"psnr": metrics.psnr(made, self._case.target)}
        for name in REGIONS:
            values[f"{name}_psnr"] = metrics.psnr(made, self._case.target, where=self._regions[name])
        values |= self._structure(made)
        values |= self._perceived(made)
        means = {name: mean_of_found(curve) for name, curve in values.items()}
        return means | self._landmarks(made) | self._over_time(made, seams)

    def _structure(self, made: Tensor) -> dict[str, Tensor]:
        if not self._instruments.ssim:
            return {}
        similar = metrics.ssim_map(made, self._case.target)
        parts = {f"{name}_ssim": metrics.masked_mean(similar, self._regions[name]) for name in _WHOLLY}
        return {"ssim": similar.flatten(1).mean(dim=1), **parts}

    def _perceived(self, made: Tensor) -> dict[str, Tensor]:
        distance = self._instruments.perceptual
        if distance is None:
            return {}
        values = {"perceptual": distance(made, self._case.target)}
        for name in _WHOLLY:
            crops = [cut_out(clip, self._regions[name]) for clip in (made, self._case.target)]
            values[f"{name}_perceptual"] = distance(*crops) if len(crops[0]) else torch.full((1,), math.nan)
        return values

    def _landmarks(self, made: Tensor) -> dict[str, float]:
        if self._truth is None:
            return {}
        found = self._look(made)
        assert found is not None
        error = metrics.landmark_error(found.points, self._truth.points, found=found.found & self._truth.found)
        return {"landmark_error": mean_of_found(error), "found": float(found.found.mean())}

    def _over_time(self, made: Tensor, seams: Sequence[int]) -> dict[str, float]:
        if len(made) < 2:
            return {}
        warping = metrics.warping_error(made)
        across = warping[[seam - 1 for seam in seams if 0 < seam < len(made)]]
        return {
            "temporal_error": mean_of_found(metrics.temporal_error(made, self._case.target)),
            "warping_error": mean_of_found(warping),
            "seam_error": mean_of_found(across),
        }

    def _look(self, frames: Tensor) -> FoundLandmarks | None:
        extract = self._instruments.landmarks
        return None if extract is None else extract(to_uint8(frames))
