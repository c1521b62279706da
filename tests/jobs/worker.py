"""A process for test_kill.py: loads everything once, then does one job in each child that it is asked to fork.

Reads lines "PLACE" from its standard input: where the child is to kill itself, or "nowhere". Writes the child's
process id when it has begun, and its status when it has ended.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model_core import pipeline
from model_core.images import to_float
from model_core.jobs import VideoJob, animate_video, chunks, run
from model_core.models import load_model
from model_core.types import FaceTrack
from model_core.video import segments

PLACES = {
    "in the middle of a chunk": (chunks.SegmentWriter, "append", 12),
    "between a chunk and its record": (chunks.JobState, "save", 2),
    "after a record": (pipeline, "finished_frames", 3),
    "before joining": (run, "_join", 1),
    "while joining": (run, "join_segments", 1),
    "in the middle of encoding": (segments, "_lasts", 9),
    "after joining": (run.JobFolder, "remove", 1),
}
"""By name: what is about to be called, for the how manieth time."""


def analyzer(folder: Path) -> Any:
    spec = importlib.util.spec_from_file_location("conftest", Path(__file__).parent.parent / "conftest.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    face = np.load(folder / "face.npz")
    track = FaceTrack(face["boxes"], face["landmarks"], np.ones(1, np.float32), np.ones(1, bool), (64, 64))
    return module.SquareAnalyzer(track)


def die_at(place: str) -> None:
    """Kill this process, as the system would, at a place of ``PLACES``."""
    owner, name, count = PLACES[place]
    original, calls = getattr(owner, name), []

    def deadly(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **kwargs)

    setattr(owner, name, deadly)


def tell(word: object) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    model, found = load_model(folder / "tiny.safetensors"), analyzer(folder)
    sampling = dataclasses.replace(model.config.sampling, window=4, overlap=1, chunk=5, history=2, steps=1)
    job = VideoJob(
        image=to_float(np.load(folder / "portrait.npy")),
        driving=folder / "driving.mp4",
        output=folder / "out" / "made.mp4",
        sampling=sampling,
        paste="driving",
    )
    tell("ready")
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            if line.strip() != "nowhere":
                die_at(line.strip())
            animate_video(job, model=model, analyzer=found)
            os._exit(0)
        tell(child)
        tell(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
