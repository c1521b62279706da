"""Scores of a clip, and tables, JSON and curves of scores."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..errors import InputError
from ..files import atomic_path
from ..paths import writing
from ..plots import curves_figure
from . import metrics
from .intervals import Estimate


@dataclass(frozen=True)
class Landmarks:
    """Landmarks of generated and true frames.

    Attributes:
        generated, truth: (F, 478, 2 or 3) pixels.
        found: (F,) bool, whether a face was found in the generated frame.
        indices: the points that count; None means all.
    """

    generated: np.ndarray
    truth: np.ndarray
    found: np.ndarray
    indices: Sequence[int] | None = None


@dataclass(frozen=True)
class Curves:
    """The metrics of one clip over time, see ``metrics``; (F,) to (F - 2,) each, None where not measured."""

    psnr: Tensor
    ssim: Tensor
    l1: Tensor
    flow_error: Tensor
    temporal_error: Tensor
    colour_drift: Tensor
    warping_error: Tensor
    landmark_error: Tensor | None = None
    landmark_jitter: Tensor | None = None


@dataclass(frozen=True)
class Score:
    """One row of a table: means over all frames of all clips; NaN (shown as a dash) where not measured.

    Attributes:
        method: what made the frames.
        frames: how many were compared.
        found: part of the frames in [0, 1] in which a face was found; landmark_error is over these only.
        seam_error: the warping error from the last frame of one chunk to the first of the next.
        seam_jitter: the landmark jitter at these two frames.
    """

    method: str
    frames: int
    psnr: float
    ssim: float
    l1: float
    landmark_error: float
    found: float
    flow_error: float
    temporal_error: float
    colour_drift: float
    warping_error: float
    landmark_jitter: float
    seam_error: float = math.nan
    seam_jitter: float = math.nan


def measure(generated: Tensor, target: Tensor, *, landmarks: Landmarks | None = None) -> Curves:
    """Every metric of one clip: (F, 3, H, W) in [-1, 1] against its ground truth of the same shape."""
    error, jitter = None, None
    if landmarks is not None:
        made, truth, found = landmarks.generated, landmarks.truth, landmarks.found
        error = metrics.landmark_error(made, truth, indices=landmarks.indices, found=found)
        jitter = metrics.landmark_jitter(made, truth, indices=landmarks.indices, found=found)
    return Curves(
        psnr=metrics.psnr(generated, target),
        ssim=metrics.ssim(generated, target),
        l1=metrics.l1(generated, target),
        flow_error=metrics.flow_error(generated, target),
        temporal_error=metrics.temporal_error(generated, target),
        colour_drift=metrics.colour_drift(generated, target),
        warping_error=metrics.warping_error(generated),
        landmark_error=error,
        landmark_jitter=jitter,
    )


def summarise(method: str, clips: Sequence[Curves], *, seams: Sequence[int] = ()) -> Score:
    """The means over all frames of the clips, so that longer clips count for more.

    Args:
        seams: the first frames of the second and later chunks.
    """
    if not clips:
        raise InputError(f"evaluation of {method}: no clips; give at least one")

    def pooled(name: str) -> np.ndarray:
        parts = [curve.numpy() for clip in clips if (curve := getattr(clip, name)) is not None]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def at_seams(name: str, frames: Sequence[int]) -> float:
        curves = [curve.numpy() for clip in clips if (curve := getattr(clip, name)) is not None]
        chosen = [curve[[f for f in frames if 0 <= f < len(curve)]] for curve in curves]
        return _mean(np.concatenate(chosen)) if chosen else math.nan

    names = {field.name for field in dataclasses.fields(Curves)}
    errors = pooled("landmark_error")
    return Score(
        method=method,
        frames=len(pooled("psnr")),
        found=float(np.isfinite(errors).mean()) if errors.size else math.nan,
        seam_error=at_seams("warping_error", [seam - 1 for seam in seams]),
        seam_jitter=at_seams("landmark_jitter", [frame for seam in seams for frame in (seam - 2, seam - 1)]),
        **{name: _mean(pooled(name)) for name in names},
    )


def _mean(values: np.ndarray) -> float:
    measured = values[np.isfinite(values)]
    return float(measured.mean(dtype=np.float64)) if measured.size else math.nan


def markdown_table(
    rows: Sequence[Any],
    *,
    headings: Mapping[str, str] | None = None,
    digits: Mapping[str, int] | int = 3,
) -> str:
    """Dataclass instances of one class as a Markdown table whose columns also line up in a terminal.

    Args:
        rows: one or more; one column per field. An ``Estimate`` shows its mean and its interval.
        headings: by field name; without one a field shows its name. A mapping also chooses and orders the
            columns.
        digits: after the decimal point, for all or by field name (others 3).
    """
    if not rows:
        raise InputError("a table needs at least one row; evaluate something first")
    shown = headings or {field.name: field.name.replace("_", " ") for field in dataclasses.fields(rows[0])}
    places = {name: digits if isinstance(digits, int) else digits.get(name, 3) for name in shown}
    columns = []
    for name, heading in shown.items():
        values = [getattr(row, name) for row in rows]
        cells = [_cell(value, places[name]) for value in values]
        width = max(3, *map(len, [heading, *cells]))
        numeric = all(isinstance(value, (int, float, Estimate)) for value in values)
        rule = "-" * (width - 1) + ":" if numeric else "-" * width
        lines = [heading, rule, *cells]
        columns.append([line.rjust(width) if numeric else line.ljust(width) for line in lines])
    return "\n".join(f"| {' | '.join(line)} |" for line in zip(*columns, strict=True)) + "\n"


def _cell(value: object, digits: int) -> str:
    if isinstance(value, Estimate):
        return value.text(digits)
    if isinstance(value, float):
        return f"{value:.{digits}f}" if math.isfinite(value) else "-"
    return str(value).replace("|", "\\|")


def write_json(path: str | os.PathLike[str], rows: Sequence[Any], **facts: Any) -> Path:
    """Write dataclass rows and facts about the run (settings, versions) as JSON; NaN becomes null.

    The layout: ``{**facts, "rows": [{field: value}]}``.
    """
    path = Path(path)
    content = {**facts, "rows": [dataclasses.asdict(row) for row in rows]}
    with writing(path), atomic_path(path) as partial:
        text = json.dumps(_without_nan(content), indent=2, allow_nan=False)
        partial.write_text(text + "\n", encoding="utf-8")
    return path


def _without_nan(value: Any) -> Any:
    """JSON knows no NaN, and most readers refuse Python's spelling of it."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return value


def plot_curves(
    path: str | os.PathLike[str],
    curves: Mapping[str, Curves],
    *,
    names: Sequence[str] = ("psnr", "landmark_error", "temporal_error", "colour_drift"),
) -> Path:
    """Draw metrics over the frames, one panel per metric, one line per method.

    Args:
        path: the suffix chooses the format, .png or .svg.
        curves: by method.
        names: fields of ``Curves``; what a method did not measure is left out.
    Raises:
        DependencyError: matplotlib is not installed.
    """
    path = Path(path)
    panels = {
        name.replace("_", " "): {
            method: values.numpy() for method, clip in curves.items() if (values := getattr(clip, name)) is not None
        }
        for name in names
    }
    figure = curves_figure(panels)
    with writing(path), atomic_path(path) as partial:
        figure.savefig(partial, dpi=120)
    return path
