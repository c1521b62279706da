"""What is measured of every method on every case, gathered into one table with error bars over the identities."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import NamedTuple

from .intervals import Estimate, estimate
from .report import markdown_table


class Column(NamedTuple):
    """Its heading, and the digits after the decimal point."""

    title: str
    digits: int = 3


COLUMNS: Mapping[str, Column] = {
    "psnr": Column("PSNR", 2),
    "ssim": Column("SSIM"),
    "perceptual": Column("ST-LPIPS"),
    "mouth_psnr": Column("mouth PSNR", 2),
    "mouth_ssim": Column("mouth SSIM"),
    "mouth_perceptual": Column("mouth ST-LPIPS"),
    "inner_mouth_psnr": Column("open mouth PSNR", 2),
    "eyes_psnr": Column("eyes PSNR", 2),
    "eyes_ssim": Column("eyes SSIM"),
    "eyes_perceptual": Column("eyes ST-LPIPS"),
    "lids_psnr": Column("closing lids PSNR", 2),
    "landmark_error": Column("landmark error", 4),
    "found": Column("found", 2),
    "temporal_error": Column("flicker", 4),
    "warping_error": Column("warping error", 4),
    "seam_error": Column("seam error", 4),
    "correlation": Column("correlation", 2),
    "gain": Column("gain", 2),
    "blink_gain": Column("blink gain", 2),
    "yaw": Column("yaw", 2),
    "pitch": Column("pitch", 2),
    "roll": Column("roll", 2),
    "pose_gain": Column("pose gain", 2),
    "identity": Column("identity"),
}
"""What can be measured, by name; ``truth.py`` and ``cross.py`` say how."""


@dataclass(frozen=True)
class MethodScore:
    """One row: what a method's results come to.

    Attributes:
        method: what made the frames.
        cases: how many were measured.
        estimates: by name of ``COLUMNS``.
    """

    method: str
    cases: int
    estimates: dict[str, Estimate]


@dataclass(frozen=True)
class Measured:
    """What one method made of one case.

    Attributes:
        method, case, identity: of whom; two methods' results of one case can be compared.
        values: by name of ``COLUMNS``, NaN where there was nothing to measure.
    """

    method: str
    case: str
    identity: str
    values: dict[str, float]


@dataclass
class Scores:
    """All that was measured, in the order of the methods.

    Attributes:
        columns: names of ``COLUMNS`` that are shown, by part of the report.
        measured: one entry for each method and case.
    """

    columns: Mapping[str, Sequence[str]]
    measured: list[Measured] = field(default_factory=list)

    def rows(self) -> list[MethodScore]:
        """The means of every method."""
        return [_score(method, own) for method, own in self._by_method().items()]

    def against(self, base: str) -> list[MethodScore]:
        """How far the other methods are from one of them, on average over the same cases."""
        known = {one.case: one.values for one in self.measured if one.method == base}
        return [
            _score(method, [_difference(one, known[one.case]) for one in own if one.case in known])
            for method, own in self._by_method().items()
            if method != base
        ]

    def table(self, rows: Sequence[MethodScore]) -> str:
        """Rows as Markdown, a table for each part; a column that no row has is left out."""
        parts = []
        for part, names in self.columns.items():
            shown = [name for name in names if any(name in row.estimates for row in rows)]
            if shown:
                headings = {"method": part, **{name: COLUMNS[name].title for name in shown}}
                digits = {name: COLUMNS[name].digits for name in shown}
                lines = [SimpleNamespace(method=row.method, **_filled(row, shown)) for row in rows]
                parts.append(markdown_table(lines, headings=headings, digits=digits))
        return "\n".join(parts)

    def _by_method(self) -> dict[str, list[Measured]]:
        found: defaultdict[str, list[Measured]] = defaultdict(list)
        for one in self.measured:
            found[one.method].append(one)
        return found


def _filled(row: MethodScore, names: Sequence[str]) -> dict[str, Estimate]:
    nothing = Estimate(math.nan, math.nan, math.nan, 0)
    return {name: row.estimates.get(name, nothing) for name in names}


def _score(method: str, measured: Sequence[Measured]) -> MethodScore:
    values: defaultdict[str, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for one in measured:
        for name, value in one.values.items():
            values[name][one.identity].append(value)
    return MethodScore(method, len(measured), {name: estimate(own) for name, own in values.items()})


def _difference(one: Measured, base: Mapping[str, float]) -> Measured:
    values = {name: value - base[name] for name, value in one.values.items() if name in base}
    return Measured(one.method, one.case, one.identity, values)
