"""The loss of a run, as JSON lines."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

from ..files import atomic_path

LOG = "log.jsonl"
"""The name of a run's log in its folder."""
_log = logging.getLogger(__name__)


class Log:
    """The loss as JSON lines, one row per step at most however often the run is resumed.

    Args:
        path: the file; rows that are there stay.
        after: the step the run resumes from: rows of later steps, which will be repeated, are dropped, and so
            is a last line that a kill cut short. Lines that are no rows are dropped with a warning.
    """

    def __init__(self, path: Path, *, after: int) -> None:
        self.path = path
        self._losses: list[float] = []
        self._waited = 0.0
        self._started = self._written = time.perf_counter()
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        rows = [(line, _step_of(line)) for line in text.split("\n")[:-1]]
        if bad := [line for line, step in rows if step is None]:
            _log.warning("%s: %d lines are no rows of a log and are dropped, such as %r", path, len(bad), bad[0][:80])
        with atomic_path(path) as partial:
            kept = [f"{line}\n" for line, step in rows if step is not None and step <= after]
            partial.write_text("".join(kept), encoding="utf-8")

    def add(self, loss: float, *, waited: float = 0.0) -> None:
        """One step's loss, and for how many seconds it had to wait for its data."""
        self._losses.append(loss)
        self._waited += waited

    def write(self, step: int) -> float:
        """Write a row for the losses added since the last one; returns their mean."""
        mean = sum(self._losses) / len(self._losses)
        self._losses.clear()
        now = time.perf_counter()
        row = {
            "step": step,
            "loss": mean,
            "seconds": round(now - self._started, 2),
            "waiting": round(self._waited / max(now - self._written, 1e-9), 3),
        }
        self._waited, self._written = 0.0, now
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        return mean


def _step_of(line: str) -> int | None:
    """The step of a row; None for a line that is none."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    step = row.get("step") if isinstance(row, dict) else None
    return step if isinstance(step, int) else None
