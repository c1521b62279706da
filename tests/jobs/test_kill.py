"""kill -9 at any moment: the next run gives the very file of an undisturbed one, and does not begin again."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_core.jobs.folder import JobFolder
from model_core.models import PortraitModel, save_model
from model_core.types import FaceTrack

ROOT = Path(__file__).parent.parent.parent
WORKER = Path(__file__).with_name("worker.py")
MOMENTS = 10
PLACES = [
    "in the middle of a chunk",
    "between a chunk and its record",
    "after a record",
    "before joining",
    "while joining",
    "in the middle of encoding",
    "after joining",
]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="KILL TESTS DID NOT RUN: this system cannot fork")


class Worker:
    """Does the job in a process that can be killed."""

    def __init__(self, folder: Path) -> None:
        self.output = folder / "out" / "made.mp4"
        self.folder = self.output.with_name("made.mp4.job")
        command = [sys.executable, str(WORKER), str(folder)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
        )
        assert self._line() == "ready"

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def run(self, *, kill_after: float | None = None, kill_at: str = "nowhere") -> int:
        """Do the job; returns the number of the signal that ended it, 0 where none did."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{kill_at}\n")
        self._process.stdin.flush()
        child = int(self._line())
        if kill_after is not None:
            time.sleep(kill_after)
            with contextlib.suppress(ProcessLookupError):  # it was quicker
                os.kill(child, signal.SIGKILL)
        status = int(self._line())
        assert not os.WIFEXITED(status) or os.WEXITSTATUS(status) == 0
        return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0

    def finished_chunks(self) -> int:
        stored = JobFolder(self.folder).load(self.folder / "state.safetensors")
        return 0 if stored is None else stored[1]["chunks"].count(",") + 1

    def start_over(self) -> None:
        self.output.unlink(missing_ok=True)

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


@pytest.fixture
def worker(
    tmp_path: Path,
    driving: Path,
    tiny_model: PortraitModel,
    make_track: Callable[..., FaceTrack],
    square_frames: Callable[..., Any],
) -> Iterator[Worker]:
    save_model(tiny_model, tmp_path / "tiny.safetensors")
    face = make_track(1)
    np.savez(tmp_path / "face.npz", boxes=face.boxes, landmarks=face.landmarks)
    np.save(tmp_path / "portrait.npy", square_frames(1)[0])
    made = Worker(tmp_path)
    yield made
    made.close()


def test_killed_at_random_moments(worker: Worker) -> None:
    assert worker.run() == 0  # the first fork is the slowest
    worker.start_over()
    started = time.perf_counter()
    assert worker.run() == 0
    seconds = time.perf_counter() - started
    undisturbed = worker.output.read_bytes()
    drawn = random.Random(6)
    killed, chunks = 0, []
    for _ in range(MOMENTS):
        worker.start_over()
        killed += worker.run(kill_after=drawn.uniform(0.0, seconds)) == signal.SIGKILL
        chunks.append(worker.finished_chunks())
        before = {path.name: path.stat().st_mtime_ns for path in worker.folder.glob("chunk-*")}
        assert worker.run() == 0
        assert worker.output.read_bytes() == undisturbed, f"after {chunks[-1]} chunks, of {sorted(before)}"
        assert [path.name for path in worker.output.parent.iterdir()] == ["made.mp4"]
    assert killed >= MOMENTS // 2, "the moments were too late to disturb anything"
    assert len(set(chunks)) > 1, "all moments were the same one"


def test_killed_at_the_worst_moments(worker: Worker) -> None:
    assert worker.run() == 0
    undisturbed = worker.output.read_bytes()
    for place in PLACES:
        worker.start_over()
        assert worker.run(kill_at=place) == signal.SIGKILL, place
        kept = {"in the middle of a chunk": 2, "between a chunk and its record": 1, "after a record": 2}.get(place, 4)
        assert worker.finished_chunks() == kept, place
        assert worker.output.exists() == (place == "after joining"), place
        assert worker.run() == 0, place
        assert worker.output.read_bytes() == undisturbed, place
        assert [path.name for path in worker.output.parent.iterdir()] == ["made.mp4"], place
