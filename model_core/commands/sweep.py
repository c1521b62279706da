"""The scales of signal fusion, swept: what each costs and gives, as a table and a plot."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from torch import Tensor

from ..config import SamplingConfig
from ..evaluation.cases import Case
from ..evaluation.methods import Method, by_model
from ..evaluation.report import Score
from ..files import atomic_path
from ..models import PortraitModel
from ..paths import writing
from ..plots import scores_figure

SCALES = {"identity": (1.0, 1.5, 2.0, 2.5), "motion": (1.0, 1.5, 2.0, 2.5)}
"""What is tried of each scale while the others stay 1; 1 is the same model for all."""
PAPER = {"identity": 2.0, "motion": 2.5, "continuity": 1.0}
"""Stable Video-Driven Portraits' own scales, all at once."""
_SHOWN = ("psnr", "landmark_error", "landmark_jitter")


def sweep_methods(model: PortraitModel, sampling: SamplingConfig) -> dict[str, Method]:
    """A method for every point of ``SCALES``, and the paper's own scales."""
    plain = dataclasses.replace(sampling, identity=1.0, motion=1.0, continuity=1.0)
    neutral = _once_a_case(by_model(model, plain))

    def scaled(**scales: float) -> Method:
        return by_model(model, SamplingConfig(**{**dataclasses.asdict(plain), **scales}))

    methods = {
        f"{name} {value:g}": neutral if value == 1 else scaled(**{name: value})
        for name, values in SCALES.items()
        for value in values
    }
    methods[", ".join(f"{name} {value:g}" for name, value in PAPER.items())] = scaled(**PAPER)
    return methods


def _once_a_case(method: Method) -> Method:
    """A method that stands under several names, and remembers what it made of the last case."""
    last: dict[str, Any] = {}

    def run(case: Case) -> Tensor:
        if last.get("case") is not case:
            last.update(case=case, made=method(case))
        return cast(Tensor, last["made"])

    return run


def plot_sweep(path: Path, scores: Sequence[Score]) -> None:
    """One panel per metric, one line per scale."""
    found = {score.method: score for score in scores}
    panels: dict[str, Mapping[str, tuple[np.ndarray, np.ndarray]]] = {}
    for metric in _SHOWN:
        panels[metric.replace("_", " ")] = {
            name: (np.array(values), np.array([getattr(found[f"{name} {value:g}"], metric) for value in values]))
            for name, values in SCALES.items()
        }
    figure = scores_figure(panels, axis="scale of signal fusion (the others are 1)")
    with writing(path), atomic_path(path) as partial:
        figure.savefig(partial, dpi=120)
