"""What several rooms' tests need: a tiny random model, an avatar's face, and an analyser that finds it."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from model_core.config import AutoencoderConfig, ModelConfig, SamplingConfig, ScheduleConfig
from model_core.errors import PortraitError
from model_core.faces.analyzer import FaceDetection
from model_core.faces.mediapipe_backend import find_model
from model_core.models import PortraitModel, build_model
from model_core.types import FaceTrack
from model_core.weights.formats.animatediff import position_table
from model_core.weights.io import write_safetensors


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Under ``--dist loadgroup`` a file stays with one worker, and all live tests with the one that has the server."""
    missing = _missing_landmarker()
    for item in items:
        if missing and item.get_closest_marker("landmarker"):
            item.add_marker(pytest.mark.skip(reason=f"THE FACE LANDMARKER IS MISSING: {missing}"))
        group = "live" if item.get_closest_marker("live") else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))


def _missing_landmarker() -> str:
    if importlib.util.find_spec("mediapipe") is None:
        return "mediapipe is not installed; run install.py"
    try:
        find_model()
    except PortraitError as error:
        return str(error)
    return ""


@pytest.fixture(scope="session")
def tiny_config() -> ModelConfig:
    """A whole model, as small as its parts allow."""
    return ModelConfig(
        name="tiny",
        size=(32, 32),
        autoencoder=AutoencoderConfig(kind="fold", stride=4, scaling_factor=2.0),
        schedule=ScheduleConfig(prediction_type="sample"),
        sampling=SamplingConfig(steps=2, window=4, overlap=2, history=2, chunk=6, scheduler="ddim"),
        backbone={
            "latent_channels": 48,
            "latent_stride": 4,
            "block_out_channels": [8, 8],
            "layers_per_block": 1,
            "down_attention": [False, True],
            "up_attention": [True, False],
            "attention_heads": 1,
            "cross_attention_dim": 8,
            "norm_num_groups": 4,
            "pose_guider_channels": [4, 4, 4],
            "motion_heads": 1,
            "motion_max_length": 8,
            "reference_pose": True,
            "prediction_type": "sample",
            "image_encoder": {
                "hidden_size": 8,
                "intermediate_size": 8,
                "num_hidden_layers": 1,
                "num_attention_heads": 1,
                "image_size": 16,
                "patch_size": 8,
                "projection_dim": 8,
            },
        },
    )


@pytest.fixture
def tiny_model(tiny_config: ModelConfig) -> PortraitModel:
    """Random weights throughout: layers that begin at zero would hide what is not connected."""
    torch.manual_seed(0)
    model = build_model(tiny_config)
    with torch.no_grad():
        for parameter in model.backbone.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    model.backbone.eval().requires_grad_(False)
    return model


@pytest.fixture(scope="session")
def make_track() -> Callable[..., FaceTrack]:
    """``make_track(frames, size=64)``: an avatar that turns, blinks and speaks."""
    from model_core.training.avatars import Motion, landmarks, sample_identity

    identity = sample_identity(np.random.default_rng(1))

    def make(frames: int, *, size: int = 64) -> FaceTrack:
        steps = np.arange(frames)
        moves = [Motion(yaw=0.3 * np.sin(t), jaw=0.5 + 0.5 * np.sin(t), blink_left=float(t % 2)) for t in steps]
        points = np.stack([landmarks(identity, move, size=size) for move in moves])
        ends = points[..., :2].min(1), points[..., :2].max(1)
        return FaceTrack(
            boxes=np.concatenate(ends, axis=1),
            landmarks=points,
            confidence=np.ones(frames, np.float32),
            detected=np.ones(frames, bool),
            size=(size, size),
        )

    return make


class SquareAnalyzer:
    """Finds the avatar's face in the bright square of a frame; frames without one show no face."""

    def __init__(self, face: FaceTrack) -> None:
        self.unit = (face.landmarks[0] - [*face.boxes[0, :2], 0]) / (face.boxes[0, 2] - face.boxes[0, 0])

    def detect(self, frame: np.ndarray) -> list[FaceDetection]:
        x, y, width, _ = cv2.boundingRect((frame.min(axis=2) > 127).astype(np.uint8))
        if width == 0:
            return []
        points = (self.unit * width + [x, y, 0]).astype(np.float32)
        return [FaceDetection(np.array([x, y, x + width, y + width], np.float32), points, 1.0)]

    def close(self) -> None:
        pass


@pytest.fixture(scope="session")
def square_analyzer(make_track: Callable[..., FaceTrack]) -> SquareAnalyzer:
    return SquareAnalyzer(make_track(1))


@pytest.fixture(scope="session")
def square_frames() -> Callable[..., np.ndarray]:
    """``square_frames(count, size=96)``: (count, size, size, 3) uint8, a bright square that wanders on dark ground."""

    def make(count: int, *, size: int = 96, side: int = 40) -> np.ndarray:
        frames = np.full((count, size, size, 3), 30, np.uint8)
        for index, frame in enumerate(frames):
            left = size // 4 + 2 * (index % 4)
            frame[size // 4 : size // 4 + side, left : left + side] = (230, 200, 180)
        return frames

    return make


PUBLIC_OVERRIDES = {
    "backbone": {
        "norm_num_groups": 4,
        "attention_heads": 2,
        "motion_heads": 2,
        "motion_norm_groups": 4,
        "image_encoder": {"num_attention_heads": 2},
    },
    "autoencoder": {"kl": {"norm_num_groups": 4}},
}
"""What no key of the tiny public files tells."""


def _tiny_public_model() -> PortraitModel:
    """The shape of Stable Diffusion's family, very small: two levels, so everything is halved once."""
    torch.manual_seed(0)
    kl = {
        "down_block_types": ["DownEncoderBlock2D"] * 2,
        "up_block_types": ["UpDecoderBlock2D"] * 2,
        "block_out_channels": [4, 8],
        "layers_per_block": 1,
        "latent_channels": 4,
        "norm_num_groups": 4,
    }
    backbone = {
        "latent_stride": 2,
        "block_out_channels": [8, 16],
        "layers_per_block": 1,
        "down_attention": [True, False],
        "up_attention": [False, True],
        "attention_heads": 2,
        "cross_attention_dim": 8,
        "norm_num_groups": 4,
        "pose_guider_channels": [4, 8],
        "motion_heads": 2,
        "image_encoder": {
            "hidden_size": 8,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 16,
            "patch_size": 8,
            "projection_dim": 8,
        },
    }
    autoencoder = AutoencoderConfig(kind="kl", stride=2, scaling_factor=0.18215, kl=kl)
    model = build_model(ModelConfig(name="tiny", backbone=backbone, autoencoder=autoencoder))
    for module in (model.backbone, model.autoencoder):
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def _animatediff_name(name: str) -> str:
    """AnimateDiff's own name of a MotionAdapter tensor."""
    layer, _, inner = name.partition(".transformer_blocks.0.")
    head, number, *rest = re.split(r"(?<=motion_modules)\.(\d+)", layer, maxsplit=1)
    for ours, theirs in (
        ("attn1.", "attention_blocks.0."),
        ("attn2.", "attention_blocks.1."),
        ("norm1.", "norms.0."),
        ("norm2.", "norms.1."),
        ("norm3.", "ff_norm."),
    ):
        inner = inner.replace(ours, theirs)
    middle = ".transformer_blocks.0." if inner else ""
    return f"{head}.{number}.temporal_transformer{''.join(rest)}{middle}{inner}"


def _public_parts(model: PortraitModel) -> dict[str, dict[str, torch.Tensor]]:
    """The same weights as the public files name them, by what each file holds."""
    backbone = model.backbone.state_dict()

    def part(prefix: str) -> dict[str, torch.Tensor]:
        return {key.removeprefix(prefix): value for key, value in backbone.items() if key.startswith(prefix)}

    motion = {_animatediff_name(key): value for key, value in part("denoiser.motion.").items()}
    tables = {
        key.replace("to_q.weight", "pos_encoder.pe"): position_table(32, value.shape[0])
        for key, value in motion.items()
        if key.endswith("to_q.weight")
    }
    unet = part("denoiser.unet.")
    return {
        "denoiser": unet,
        "reference": {
            key: value + 1 for key, value in unet.items() if not key.startswith(("conv_norm_out", "conv_out"))
        },
        "motion": {**motion, **tables},
        "pose_guider": part("pose_guider."),
        "image_encoder": part("image_prompt.encoder."),
        "vae": {key.removeprefix("vae."): value for key, value in model.autoencoder.state_dict().items()},
    }


@pytest.fixture(scope="session")
def public_parts() -> dict[str, dict[str, torch.Tensor]]:
    """Tensors of one tiny model under the names of Moore-AnimateAnyone's pose2vid files, by what a file holds."""
    return _public_parts(_tiny_public_model())


@pytest.fixture
def public_folder(tmp_path: Path, public_parts: dict[str, dict[str, torch.Tensor]]) -> Path:
    """The six files of a complete pose2vid model, tiny."""
    folder = tmp_path / "moore"
    for name, tensors in public_parts.items():
        write_safetensors(folder / f"{name}.safetensors", tensors)
    return folder


@pytest.fixture(scope="session")
def public_overrides() -> dict[str, Any]:
    """The settings of the tiny public files that no key tells."""
    return PUBLIC_OVERRIDES


def _shared_folder() -> Path | None:
    folder = Path(__file__).parent.parent.parent / "shared"
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def shared_folder() -> Path:
    """Public checkpoints in miniature with their makers' outputs, where this machine has them beside the clone."""
    folder = _shared_folder()
    if folder is None:
        pytest.skip("no folder `shared` beside this clone: the peers' golden checkpoints are NOT tested")
    return folder


@pytest.fixture
def tiny_dit() -> PortraitModel:
    """The other family, as small; random throughout, too."""
    config = ModelConfig(
        name="tiny-dit",
        family="dit",
        size=(32, 32),
        motion_kind="masked_frames",
        autoencoder=AutoencoderConfig(kind="fold", stride=4, scaling_factor=2.0),
        schedule=ScheduleConfig(prediction_type="flow"),
        sampling=SamplingConfig(steps=2, window=4, overlap=2, history=2, chunk=6, scheduler="euler"),
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
            "dual_attention_layers": [0],
            "latent_stride": 4,
            "prompt_tokens": 2,
            "video_attention_after": [0, 1],
        },
    )
    torch.manual_seed(0)
    model = build_model(config)
    with torch.no_grad():
        for parameter in model.backbone.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    model.backbone.eval().requires_grad_(False)
    return model
