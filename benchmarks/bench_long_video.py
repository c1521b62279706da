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
from fractions import Fraction
from pathlib import Path

from model_core.models import ASSETS
from model_core.video.read import read_video
from model_core.video.segments import SegmentWriter

# the child's own report, after everything else it prints
_CHILD = """
import sys
from model_core.cli import main
status = main(sys.argv[1:])
import torch
print("device", torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0)
sys.exit(status)
"""


def to_and_fro(path: Path, frames: int) -> Path:
    """The bundled clip forward and backward until it is long enough."""
    clip = read_video(ASSETS / "demo_driving.mp4")
    turn = [*range(len(clip)), *range(len(clip) - 2, 0, -1)]
    with SegmentWriter(path, fps=Fraction(25)) as writer:
        for number in range(frames):
            writer.append(clip[turn[number % len(turn)]])
    return path


def measured(driving: Path, output: Path) -> tuple[float, float, float, float]:
    """Peak resident MiB, peak MiB on the device, seconds, and seconds of computing of one run."""
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
    device = float(said.rsplit("device ", 1)[1]) / 2**20
    return usage.ru_maxrss / 1024, device, time.perf_counter() - started, usage.ru_utime + usage.ru_stime


def main() -> None:
    lengths = [int(part) for part in os.environ.get("LONG_VIDEO_FRAMES", "200,2000").split(",")]
    taken = {}
    with tempfile.TemporaryDirectory() as folder:
        for frames in lengths:
            driving = to_and_fro(Path(folder) / f"{frames}.mp4", frames)
            taken[frames] = measured(driving, Path(folder) / f"made{frames}.mp4")
            resident, device, wall, computing = taken[frames]
            print(
                f"  {frames:>6} frames  {resident:7.0f} MiB resident, {device:7.0f} MiB on the device, "
                f"{wall:6.1f} s, {computing:6.1f} s of computing",
                flush=True,
            )
    short, long = taken[lengths[0]], taken[lengths[-1]]
    print(
        f"  resident memory {long[0] / short[0] - 1:+.1%}"
        + (f", device {long[1] / short[1] - 1:+.1%}" if short[1] else "")
    )
    # starting takes as long for both: it cancels out of a difference with a shorter run
    print(f"  one more frame costs {1000 * (long[3] - short[3]) / (lengths[-1] - lengths[0]):.0f} ms of computing")


if __name__ == "__main__":
    main()
