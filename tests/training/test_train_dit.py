"""The DiT family through the same training: every stage trains its own part, from clips with masked frames."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from diffusers import SD3Transformer2DModel

from model_core.backbones.dit import DiTBackbone
from model_core.errors import InputError
from model_core.models import load_model
from model_core.training.avatars import write_identity
from model_core.training.config import TrainConfig, load_train_config
from model_core.training.train import Run, train

CONFIG = """
stage: 1
save_every: 2
log_every: 1
sheet_every: 2
model:
  name: tiny-dit
  family: dit
  size: [32, 32]
  motion_kind: masked_frames
  backbone: {sample_size: 8, patch_size: 4, in_channels: 48, out_channels: 48, num_layers: 2, attention_head_dim: 8,
    num_attention_heads: 2, joint_attention_dim: 4, caption_projection_dim: 16, pooled_projection_dim: 4,
    pos_embed_max_size: 6, dual_attention_layers: [], latent_stride: 4, prompt_tokens: 1, video_attention_after: [0],
    baseline: true, redraw: true, conditions_beside: true}
  autoencoder: {kind: fold, stride: 4, scaling_factor: 2.0}
  schedule: {prediction_type: flow}
  sampling: {steps: 2, scheduler: euler, window: 4, overlap: 2, history: 2, chunk: 6}
data: {folder: CLIPS, frames: 2}
condition: {clean_loss: true, own_estimate: 0.5}
optim: {steps: 3, batch: 2, warmup: 1, ema: 0.5}
"""


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("avatars")
    for seed in (1, 2):
        write_identity(folder, seed, frames=6, drivers=1, pictured=1, size=32)
    return folder


@pytest.fixture
def config(clips: Path, tmp_path: Path) -> TrainConfig:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG.replace("CLIPS", str(clips)))
    return load_train_config(path, {"output": str(tmp_path / "run")})


def changed(config: TrainConfig) -> set[str]:
    """The parts whose weights a whole run has changed."""
    torch.manual_seed(config.seed)
    before = Run(config)
    fresh = {key: value.clone() for key, value in before.model.backbone.state_dict().items()}
    after = load_model(train(config, progress=False)).backbone.state_dict()
    moved = {key for key, value in fresh.items() if (after[key] - value).abs().max() > 2e-3}
    return {".".join(key.split(".")[:2]) if key.startswith("denoiser") else key.split(".")[0] for key in moved}


def test_stage_1_leaves_video_attention_alone(config: TrainConfig) -> None:
    config = dataclasses.replace(config, optim=dataclasses.replace(config.optim, lr=0.05))
    assert changed(config) == {"redraw", "denoiser.transformer", "denoiser.beside", "denoiser.validity"}
    assert (Path(config.output) / "sheet-000002.png").exists()


def test_stage_2_trains_video_attention_alone_with_history_at_the_end(config: TrainConfig) -> None:
    optim = dataclasses.replace(config.optim, lr=0.05)
    begun = train(dataclasses.replace(config, optim=optim, output=config.output + "1"), progress=False)
    data = dataclasses.replace(config.data, frames=4, history=2)
    condition = dataclasses.replace(config.condition, history_after=0.0)
    last = dataclasses.replace(config, stage=2, data=data, condition=condition, optim=optim, init_from=str(begun))
    assert changed(last) == {"denoiser.video_attention"}


def test_it_starts_from_published_weights(config: TrainConfig, tmp_path: Path) -> None:
    backbone = Run(config).model.backbone
    assert isinstance(backbone, DiTBackbone)
    base = SD3Transformer2DModel(**backbone.config.transformer_kwargs())
    base.save_pretrained(tmp_path / "sd3" / "transformer")
    begun = Run(dataclasses.replace(config, output=str(tmp_path / "b"), base_from=str(tmp_path / "sd3"))).model.backbone
    assert isinstance(begun, DiTBackbone)
    for key, value in base.state_dict().items():
        assert torch.equal(begun.denoiser.transformer.state_dict()[key], value)


@pytest.mark.parametrize("fits", [True, False])
def test_the_null_prompt_is_stored_where_the_base_can_make_it(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fits: bool
) -> None:
    backbone = Run(config).model.backbone
    assert isinstance(backbone, DiTBackbone)
    SD3Transformer2DModel(**backbone.config.transformer_kwargs()).save_pretrained(tmp_path / "sd3" / "transformer")
    tokens = torch.rand(1, backbone.config.prompt_tokens + (0 if fits else 1), backbone.config.joint_attention_dim)
    pooled = torch.rand(1, backbone.config.pooled_projection_dim)
    monkeypatch.setattr("model_core.training.train.null_prompt", lambda path, transformer: (tokens, pooled))
    started = dataclasses.replace(config, output=str(tmp_path / "b"), base_from=str(tmp_path / "sd3"))
    if not fits:
        with pytest.raises(InputError, match="null prompt is .* set model.backbone.prompt_tokens"):
            Run(started)
        return
    begun = Run(started).model.backbone
    assert isinstance(begun, DiTBackbone)
    assert torch.equal(begun.denoiser.null_prompt, tokens) and torch.equal(begun.denoiser.null_pooled, pooled)
