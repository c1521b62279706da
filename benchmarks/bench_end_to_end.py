"""A whole video at 512 on this machine's processors: frames a second, and what each stage takes of the time."""

from __future__ import annotations

import cProfile
import dataclasses
import pstats
import tempfile
import time
from pathlib import Path

import cv2
import torch

from model_core.bundled import BUNDLED
from model_core.faces.backends import load_analyzer
from model_core.images import load_image
from model_core.jobs import VideoJob, animate_video
from model_core.models import ASSETS, PortraitModel, load_model

_SIZE = 512
_FRAMES = 64
_STAGES = {
    "read the driving video": (("video/read.py", "read_shots"), ("jobs/faces.py", "pixels")),
    "read the portrait": (("portraits.py", "analyze_portrait"),),
    "find the driver's face": (("faces/analyze.py", "detect_faces"),),
    "retarget": (("motion/retarget.py", "retarget"),),
    "carry at the model's size": (("model_core/pipeline.py", "carry_reference"),),
    "network": (("sampling/loop.py", "sample"),),
    "decode": (("model_core/pipeline.py", "decode"),),
    "carry at the portrait's size": (("warp/full_size.py", "frames"),),
    "write": (("video/segments.py", "append"), ("video/segments.py", "join_segments")),
}
"""Functions whose time, with all that they call, is a stage's; one is not called by another."""


def main() -> None:
    threads = torch.get_num_threads()
    print(f"{threads} threads, {_FRAMES} frames, result {_SIZE} x {_SIZE}, one step")
    models: dict[str, PortraitModel] = {name: load_model(name) for name in BUNDLED}
    first = next(iter(models.values()))
    runs = {"without a network": (first, dataclasses.replace(first.config.sampling, steps=0))}
    runs |= {name: (model, model.config.sampling) for name, model in models.items()}
    columns = {name: _stages(*run) for name, run in runs.items()}
    print(f"| ms a frame | {' | '.join(columns)} |")
    print("|---" * (len(columns) + 1) + "|")
    for stage in next(iter(columns.values())):
        print(f"| {stage} | {' | '.join(f'{1000 * column[stage] / _FRAMES:.1f}' for column in columns.values())} |")
    rates = " | ".join(f"**{_FRAMES / sum(column.values()):.1f}**" for column in columns.values())
    print(f"| **frames a second** | {rates} |")


def _stages(model: PortraitModel, sampling: object) -> dict[str, float]:
    """Seconds by stage, of the faster of two runs."""
    return min((_run(model, sampling) for _ in range(2)), key=lambda seconds: sum(seconds.values()))


def _run(model: PortraitModel, sampling: object) -> dict[str, float]:
    cv2.setNumThreads(torch.get_num_threads())
    analyzer = load_analyzer("mediapipe")
    with tempfile.TemporaryDirectory() as folder:
        job = VideoJob(
            image=load_image(ASSETS / "demo_portrait.png"),
            name="portrait",
            driving=ASSETS / "demo_driving.mp4",
            output=Path(folder) / "made.mp4",
            sampling=sampling,  # type: ignore[arg-type]
            size=_SIZE,
            frames=_FRAMES,
        )
        profile = cProfile.Profile()
        begun = time.perf_counter()
        profile.runcall(animate_video, job, model=model, analyzer=analyzer)
        whole = time.perf_counter() - begun
    spent = {
        (Path(file).as_posix(), name): cumulative
        for (file, _, name), (_, _, _, cumulative, _) in pstats.Stats(profile).stats.items()  # type: ignore[attr-defined]
    }
    seconds = {
        stage: sum(time for (file, name), time in spent.items() for wanted in functions if _is(file, name, wanted))
        for stage, functions in _STAGES.items()
    }
    seconds["find the driver's face"] -= seconds["read the driving video"]  # which it pulls frame by frame
    return seconds | {"all else": whole - sum(seconds.values())}


def _is(file: str, name: str, wanted: tuple[str, str]) -> bool:
    return name == wanted[1] and file.endswith("/" + wanted[0])
