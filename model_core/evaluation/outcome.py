"""Methods over cases: every method makes every case, what it made is measured, and a few frames are kept to look at."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from torch import Tensor

from ..images import to_uint8
from .cases import Case, Pair
from .scores import Measured, Scores

PairT = TypeVar("PairT", bound=Pair)
Meter = Callable[[str, Tensor], dict[str, float]]
"""Measures what a method, by its name, made of one pair."""

_SHOWN = 8
_TRUTH = "truth"


@dataclass
class Outcome(Generic[PairT]):
    """What came of some methods.

    Attributes:
        methods: by name of the row.
        scores: all that was measured.
        seconds: that each method took, over all cases.
        pictures: by row of the sheet, a frame of each of the first cases.
    """

    methods: Mapping[str, Callable[[PairT], Tensor]]
    scores: Scores
    seconds: dict[str, float] = field(default_factory=dict)
    pictures: dict[str, list[np.ndarray]] = field(default_factory=dict)

    def add(self, pair: PairT, meter: Meter, *, progress: Callable[[], object]) -> None:
        """Let every method make a pair, and measure it.

        Args:
            progress: told after each method.
        """
        case = f"{pair.name} {len(self.scores.measured) // len(self.methods)}"
        frame = most_moved(pair)
        shown = len(self.scores.measured) < _SHOWN * len(self.methods)
        if shown:
            self._show("portrait", pair.reference)
            self._show("driver", pair.frames[frame + 1 : frame + 2])
        for name, method in self.methods.items():
            started = time.perf_counter()
            made = method(pair)
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started
            self.scores.measured.append(Measured(name, case, pair.name, meter(name, made)))
            if shown:
                self._show(name, made[frame : frame + 1])
            progress()
        if shown and isinstance(pair, Case):
            self._show(_TRUTH, pair.target[frame : frame + 1])

    def rows(self) -> Sequence[tuple[str, Sequence[np.ndarray]]]:
        """For ``sheet.contact_sheet``: a column for each of the first cases."""
        return sorted(self.pictures.items(), key=lambda row: row[0] == _TRUTH)  # the truth comes last

    def _show(self, row: str, frame: Tensor) -> None:
        self.pictures.setdefault(row, []).append(to_uint8(frame)[0])


def most_moved(pair: Pair) -> int:
    """The number of the frame to make in which the driver is farthest from the portrait's pose."""
    marks = pair.driving.landmarks[..., :2]
    return int(np.abs(marks[1:] - marks[:1]).mean(axis=(1, 2)).argmax())


def measure_all(
    outcome: Outcome[PairT], pairs: Iterable[PairT], meter: Callable[[PairT], Meter], progress: Callable[[], object]
) -> None:
    """``Outcome.add`` for all of them, one in memory at a time."""
    for pair in pairs:
        outcome.add(pair, meter(pair), progress=progress)
