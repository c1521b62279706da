from __future__ import annotations

import gc
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from model_core.faces import closing
from model_core.faces.closing import Closing, close_dropped


class Owner:
    def __init__(self, close):
        self.close = Closing(self, close)


def test_it_is_closed_once(capsys: pytest.CaptureFixture[str]) -> None:
    closed: list[str] = []
    owner = Owner(lambda: closed.append("once"))
    owner.close()
    owner.close()
    del owner
    gc.collect()
    close_dropped()
    assert closed == ["once"]


def test_what_is_dropped_is_closed_with_the_next_one_and_not_while_garbage_is_collected() -> None:
    """Closing submits to a thread pool; collected inside of another submit, it would wait for itself for ever."""
    closed: list[str] = []
    owner = Owner(lambda: closed.append("dropped"))
    with ThreadPoolExecutor(1) as pool:
        owner.cycle = owner  # type: ignore[attr-defined]
        del owner
        gc.collect()
        assert closed == [] and len(closing._dropped) == 1
        pool.submit(int).result()
    Owner(lambda: None)
    assert closed == ["dropped"]


def test_the_rest_is_closed_at_the_end() -> None:
    code = """
from model_core.faces.closing import Closing
class Owner: pass
kept, dropped = Owner(), Owner()
def say(word): return lambda: print(word)
kept.close, dropped.close = Closing(kept, say("kept")), Closing(dropped, say("dropped"))
del dropped
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert sorted(done.stdout.split()) == ["dropped", "kept"]
