"""Work that says how far it is: generators that yield events and return a result."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeVar

Event = TypeVar("Event")
Result = TypeVar("Result")


def result_of(work: Generator[Event, None, Result], told: Callable[[Event], object] | None = None) -> Result:
    """What a generator returns.

    Args:
        told: every event on the way; cancels by raising.
    """
    while True:
        try:
            event = next(work)
        except StopIteration as end:
            return end.value
        if told is not None:
            told(event)
