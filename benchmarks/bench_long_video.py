"""Memory and time of ``animate`` at 200 and at 2,000 frames: both have to stay the same, per process and per frame.

The bundled model, its bundled clip played to and fro, one denoising step (memory does not depend on their number).
Each length is a process of its own; its peak is what the system says of it when it has ended. $LONG_VIDEO_FRAMES
names other lengths.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from model_core.models import ASSETS
from model_core.video.read import read_video
from model_core.video.segments import SegmentWriter

# the child's own report, after everything else it prints: memory of the device, and the computing of every chunk
_CHILD = """
import sys, time
from model_core.cli import main
from model_core.jobs import run
encode, moments = run._encode_chunk, []
def timed(path, model, latents, *rest):
    encode(path, model, latents, *rest)
    moments.append((latents.shape[1], time.process_time()))
run._encode_chunk = timed
status = main(sys.argv[1:])
import torch
costs = [(after[1] - before[1]) / after[0] for before, after in zip(moments, moments[1:])]
part = max(len(costs) // 3, 1)
early, late = (1000 * sum(some) / len(some) for some in (costs[:part], costs[-part:]))
print("report", torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0, early, late)
sys.exit(status)
"""


@dataclass(frozen=True)
class Taken:
    """What one run took.

    MiB of memory and of the device's, seconds, seconds of computing, and milliseconds of computing for a frame of its
    first and of its last third.
    """

    resident: float
    device: float
    wall: float
    computing: float
    early: float
    late: float


def to_and_fro(path: Path, frames: int) -> Path:
    """The bundled clip forward and backward until it is long enough."""
    clip = read_video(ASSETS / "demo_driving.mp4")
    turn = [*range(len(clip)), *range(len(clip) - 2, 0, -1)]
    with SegmentWriter(path, fps=Fraction(25)) as writer:
        for number in range(frames):
            writer.append(clip[turn[number % len(turn)]])
    return path


def measured(driving: Path, output: Path) -> Taken:
    """One run, in a process of its own."""
    words = ["animate", "--reference", str(ASSETS / "demo_portrait.png"), "--driving", str(driving)]
    words += ["--output", str(output), "--steps", "1"]
    started = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert child.stdout is not None
    said = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"animate ended with {child.returncode}: {said}")
    device, early, late = map(float, said.rsplit("report ", 1)[1].split())
    wall, computing = time.perf_counter() - started, usage.ru_utime + usage.ru_stime
    return Taken(usage.ru_maxrss / 1024, device / 2**20, wall, computing, early, late)


def main() -> None:
    lengths = [int(part) for part in os.environ.get("LONG_VIDEO_FRAMES", "200,2000").split(",")]
    taken = {}
    with tempfile.TemporaryDirectory() as folder:
        for frames in lengths:
            driving = to_and_fro(Path(folder) / f"{frames}.mp4", frames)
            taken[frames] = run = measured(driving, Path(folder) / f"made{frames}.mp4")
            print(
                f"  {frames:>6} frames  {run.resident:7.0f} MiB resident, {run.device:7.0f} MiB on the device, "
                f"{run.wall:6.1f} s, {run.computing:6.1f} s of computing; a frame takes {run.early:.1f} ms of it in "
                f"the first third, {run.late:.1f} ms in the last ({run.late / run.early - 1:+.1%})",
                flush=True,
            )
    short, long = taken[lengths[0]], taken[lengths[-1]]
    print(f"  resident memory {long.resident / short.resident - 1:+.1%}")
    if short.device:
        print(f"  memory of the device {long.device / short.device - 1:+.1%}")


if __name__ == "__main__":
    main()
