"""Curves over the frames of a clip, or over a setting, as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .errors import DependencyError

_DPI = 100
_WIDTH = 8.0
_HEIGHT = 2.0


def curves_figure(
    panels: Mapping[str, Mapping[str, Any]],
    *,
    missing: Sequence[int] = (),
    marked: str = "no face",
    limits: Mapping[str, tuple[float, float]] | None = None,
) -> Any:
    """One panel above the other, all over the same frames.

    Args:
        panels: by panel, what its vertical axis shows; in a panel by curve its values, (F,) each. NaN leaves a
            gap.
        missing: frames to mark in every panel.
        marked: what the mark means.
        limits: by panel, the least and the greatest value that it shows; others fit their values.
    Returns:
        a matplotlib Figure, which belongs to nobody's global state.
    Raises:
        DependencyError: matplotlib is not installed.
    """
    figure = _figure(len(panels))
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axis, (label, curves) in zip(axes, panels.items(), strict=True):
        for name, values in curves.items():
            # dots too: a value between two gaps makes no line
            axis.plot(np.asarray(values), label=name, linewidth=1.2, marker=".", markersize=3)
        for number, frame in enumerate(missing):
            mark = "" if number else marked
            axis.axvspan(frame - 0.5, frame + 0.5, color="tab:red", alpha=0.2, linewidth=0, label=mark)
        axis.set_ylabel(label)
        axis.set_ylim((limits or {}).get(label))
        axis.grid(alpha=0.3)
        if axis is axes[0] or len(curves) > 1:
            axis.legend(frameon=False, loc="best")
    axes[-1].set_xlabel("frame")
    axes[-1].xaxis.get_major_locator().set_params(integer=True)
    return figure


def scores_figure(panels: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]], *, axis: str) -> Any:
    """One panel beside the other, all over the same setting.

    Args:
        panels: by panel, what its vertical axis shows; in a panel by curve the settings tried and their scores.
        axis: what the setting is.
    Returns:
        a matplotlib Figure.
    Raises:
        DependencyError: matplotlib is not installed.
    """
    figure = _figure(2)
    for part, (label, curves) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        for name, (settings, scores) in curves.items():
            part.plot(settings, scores, label=name, linewidth=1.2, marker="o", markersize=4)
        part.set_title(label)
        part.grid(alpha=0.3)
        part.legend(frameon=False, loc="best")
    figure.supxlabel(axis)
    return figure


def _figure(rows: int) -> Any:
    try:
        # not pyplot: it keeps figures and a backend in global state, which belongs to the host program
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DependencyError("curves need matplotlib: pip install matplotlib") from error
    return Figure(figsize=(_WIDTH, max(_HEIGHT * rows, 1.5)), dpi=_DPI, layout="constrained")


def curves_picture(
    panels: Mapping[str, Mapping[str, Any]],
    *,
    missing: Sequence[int] = (),
    marked: str = "no face",
    limits: Mapping[str, tuple[float, float]] | None = None,
) -> np.ndarray:
    """``curves_figure`` as (H, W, 3) uint8 RGB pixels."""
    figure = curves_figure(panels, missing=missing, marked=marked, limits=limits)
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # after the figure, which names what is missing

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3].copy()
