"""The other family through the nodes: masked frames drive it, a drawing is refused naming the node to use."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

FRAMES = 5


@pytest.fixture(scope="module")
def dit(comfy: Any) -> Any:
    """A random DiT of 32 x 32 pixels as Load Portrait Model gives it."""
    models, config = comfy.module("model_core.models"), comfy.module("model_core.config")
    torch.manual_seed(0)
    model = models.build_model(
        config.ModelConfig(
            name="tiny-dit",
            family="dit",
            size=(32, 32),
            motion_kind="masked_frames",
            autoencoder=config.AutoencoderConfig(kind="fold", stride=4),
            schedule=config.ScheduleConfig(prediction_type="flow"),
            sampling=config.SamplingConfig(steps=2, window=4, overlap=1, history=1, chunk=4, scheduler="euler"),
            backbone={
                "sample_size": 8,
                "patch_size": 2,
                "in_channels": 48,
                "out_channels": 48,
                "num_layers": 2,
                "attention_head_dim": 8,
                "num_attention_heads": 2,
                "joint_attention_dim": 4,
                "caption_projection_dim": 16,
                "pooled_projection_dim": 4,
                "pos_embed_max_size": 12,
                "latent_stride": 4,
                "prompt_tokens": 1,
                "dual_attention_layers": [],
                "video_attention_after": [0],
                "reference_warp": True,
                "latent_fold": 4,
            },
        )
    )
    with torch.no_grad():
        for parameter in model.backbone.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    folder = comfy.models_dir / "portraits"
    folder.mkdir(exist_ok=True)
    models.save_model(model, folder / "tiny-dit.safetensors", dtype=torch.float32)
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
    assert images.shape == (FRAMES, 32, 32, 3) and images.isfinite().all() and images.std() > 0.01


def test_a_drawing_is_refused_before_sampling_by_the_name_of_the_node_to_use(host: Any, line: Any) -> None:
    host.loaded.clear()
    with pytest.raises(line.error, match="Masked Frames Motion"):
        line.run(line.drawn)
    assert host.loaded == []
