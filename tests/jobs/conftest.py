"""A job on tiny inputs: a portrait, a driving video with sound, a random model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model_core.images import to_float
from model_core.jobs import VideoJob, VideoResult, Watcher, animate_video
from model_core.models import PortraitModel
from model_core.video.audio import Sound
from model_core.video.write import VideoWriter

FRAMES = 20


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # a bit may depend on it, and these tests compare bits
    yield
    torch.set_num_threads(before)


@pytest.fixture
def driving(tmp_path: Path, square_frames: Callable[..., np.ndarray]) -> Path:
    """20 frames of 25 a second, with a tone."""
    path = tmp_path / "driving.mp4"
    tone = 0.4 * np.sin(2 * np.pi * 440 * np.arange(32000) / 32000).astype(np.float32)
    with VideoWriter(path, fps=Fraction(25), sound=Sound(tone[None], 32000)) as writer:
        writer.append(square_frames(FRAMES))
    return path


@pytest.fixture
def job(tmp_path: Path, driving: Path, tiny_model: PortraitModel, square_frames: Callable[..., np.ndarray]) -> VideoJob:
    """Four chunks of five frames."""
    sampling = dataclasses.replace(tiny_model.config.sampling, window=4, overlap=1, chunk=5, history=2, steps=1)
    return VideoJob(
        image=to_float(square_frames(1)[0]),
        name="portrait.png",
        driving=driving,
        output=tmp_path / "out" / "made.mp4",
        sampling=sampling,
    )


@pytest.fixture
def do(tiny_model: PortraitModel, square_analyzer: Any) -> Callable[..., VideoResult]:
    """``do(job, said=[], folder=None)``: run it; what it says is appended to ``said``."""

    def run(job: VideoJob, *, said: list[str] | None = None, folder: Path | None = None, **watched: Any) -> VideoResult:
        watcher = Watcher(say=(said if said is not None else []).append, **watched)
        return animate_video(job, model=tiny_model, analyzer=square_analyzer, folder=folder, watcher=watcher)

    return run
