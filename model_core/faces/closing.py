"""When MediaPipe's networks are closed.

Closing one hands work to a thread pool, behind a lock of the whole process. Garbage is collected anywhere, even while
the same thread holds that lock, and would then wait for itself for ever. So what is dropped is only noted, and closed
when the next network is opened, or at the interpreter's end.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

_dropped: deque[weakref.finalize[..., Any]] = deque()
"""The ends of networks whose owners are gone."""


class Closing:
    """Closes a network once: when it is asked to, some time after the owner is dropped, or at the interpreter's end.

    Args:
        owner: who uses the network.
        close: how to close it; must not refer to the owner.
    """

    def __init__(self, owner: object, close: Callable[[], object]) -> None:
        close_dropped()
        self._end = weakref.finalize(Closing, close)  # a class lives to the end, before which finalize calls it
        self._noted = weakref.finalize(owner, _dropped.append, self._end)
        self._noted.atexit = False

    def __call__(self) -> None:
        """Close it now, unless it has been closed."""
        self._noted.detach()
        self._end()


def close_dropped() -> None:
    """Close the networks whose owners are gone."""
    while _dropped:
        try:
            end = _dropped.popleft()
        except IndexError:  # another thread has taken the last one
            return
        end()
