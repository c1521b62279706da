"""What a user sees of long work: a bar, and how long each stage took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from ..types import StepEvent, StepObserver


class Stages:
    """Tells the user what is being done and how long each stage took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started

    def table(self) -> str:
        width = max(len(name) for name in self.seconds)
        rows = [f"  {name:<{width}}  {seconds:6.1f} s" for name, seconds in self.seconds.items()]
        return "\n".join([*rows, f"  {'all':<{width}}  {sum(self.seconds.values()):6.1f} s"])


def progress_observer(bar: tqdm[Any]) -> StepObserver:
    """Moves a bar by one per window; its total is known before, see ``sampling.estimate.count_windows``."""

    def observe(event: StepEvent) -> None:
        if not event.step_done:
            bar.update()

    return observe
