"""The other family through the nodes: masked frames drive it, a drawing is refused naming the node to use."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from model_core.models import PortraitModel, save_model

FRAMES = 5


@pytest.fixture
def dit(comfy: Any, tiny_dit: PortraitModel) -> Any:
    """A random DiT of 32 x 32 pixels as Load Portrait Model gives it."""
    folder = comfy.models_dir / "portraits"
    folder.mkdir(exist_ok=True)
    save_model(tiny_dit, folder / "tiny-dit.safetensors", dtype=torch.float32)
    return comfy.module("nodes.bridge").load_model(folder / "tiny-dit.safetensors", "auto")


@pytest.fixture
def line(comfy: Any, dit: Any, make_track: Callable[..., Any]) -> Any:
    """Reference and motion as the nodes make them, and Animate Portrait on them."""
    types = comfy.module("model_core.types")

    def track(frames: int) -> Any:
        made = make_track(frames)  # of the package under its other name
        return types.FaceTrack(made.boxes, made.landmarks, made.confidence, made.detected, made.size)

    portrait, driving = torch.rand(1, 64, 64, 3), torch.rand(FRAMES, 64, 64, 3)
    encode = comfy.module("nodes.reference").EncodeReference
    reference, framed, _ = encode.execute(model=dit, image=portrait, framing="full", track=track(1)).args
    nodes = comfy.module("nodes.motion")
    masked, _ = nodes.MaskedFramesMotion.execute(
        driving=track(FRAMES), images=driving, alignment="relative", width=0, height=0, reference=framed
    ).args
    drawn, _ = nodes.ParsingMapMotion.execute(
        driving=track(FRAMES), alignment="relative", width=0, height=0, reference=framed
    ).args
    animate = comfy.module("nodes.animate")

    def run(motion: Any, **changes: Any) -> Any:
        words = {"seed": 0, "steps": 2, "scheduler": "euler", **changes}
        return animate.AnimatePortrait.execute(model=dit, reference=reference, motion=motion, **words).args

    return SimpleNamespace(run=run, masked=masked, drawn=drawn, error=animate.bridge.InputError)


def test_masked_frames_animate_it(host: Any, line: Any) -> None:
    latents, images = line.run(line.masked)
    assert latents["samples"].shape == (FRAMES, 48, 8, 8)
    assert images.shape == (FRAMES, 64, 64, 3) and images.isfinite().all() and images.std() > 0.01


def test_a_drawing_is_refused_before_sampling_by_the_name_of_the_node_to_use(host: Any, line: Any) -> None:
    host.loaded.clear()
    with pytest.raises(line.error, match="Masked Frames Motion"):
        line.run(line.drawn)
    assert host.loaded == []
