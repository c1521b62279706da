"""Denoiser and ReferenceNet: diffusers' UNet walked block by block, with temporal layers in between."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from diffusers import MotionAdapter, UNet2DConditionModel
from diffusers.models.embeddings import SinusoidalPositionalEmbedding
from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D
from einops import rearrange
from torch import Tensor, nn

from .attention import Bank, KeysAndValues, install_processors, project_reference
from .config import UNetConfig


def apply_motion_module(module: AnimateDiffTransformer3D, hidden: Tensor, frames: int) -> Tensor:
    """One AnimateDiff temporal layer: attention over the frames at every position.

    Runs diffusers' own weights with the normalisation per frame, as AnimateDiff's released code does;
    diffusers' forward normalises over all frames jointly, which would let the frames of a window change
    each other's statistics.

    Args:
        hidden: (B * frames, C, h, w).
    """
    height = hidden.shape[-2]
    tokens = rearrange(module.norm(hidden), "(b f) c h w -> (b h w) f c", f=frames)
    tokens = module.proj_in(tokens)
    for block in module.transformer_blocks:
        tokens = block(tokens)
    tokens = module.proj_out(tokens)
    moved = rearrange(tokens, "(b h w) f c -> (b f) c h w", h=height, w=hidden.shape[-1])
    return hidden + moved.contiguous()


def _layers(block: nn.Module) -> Iterator[tuple[nn.Module, nn.Module | None]]:
    """Pairs of residual layer and attention layer (None where the level does not attend)."""
    resnets = list(block.get_submodule("resnets").children())
    attentions = getattr(block, "attentions", None) or [None] * len(resnets)
    return zip(resnets, attentions, strict=True)


class BlockWalk:
    """One pass through the blocks of a UNet: resnet, spatial attention, temporal layer, in SD1.5's order.

    Args:
        unet: whose blocks are walked.
        motion: temporal layers in step with the blocks, or None.
        frames: frames per clip, for the temporal layers.
        embedding: (rows, D) time embedding of every frame.
        prompt: (B, tokens, D) cross-attention tokens.
        attention_kwargs: passed to the attention processors.
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        *,
        motion: MotionAdapter | None,
        frames: int,
        embedding: Tensor,
        prompt: Tensor,
        attention_kwargs: dict[str, Any],
    ) -> None:
        self.unet = unet
        self.motion = motion
        self.frames = frames
        self.embedding = embedding
        self.prompt = prompt
        self.attention_kwargs = attention_kwargs

    def __call__(self, hidden: Tensor) -> Tensor:
        """(rows, C0, h, w) after the first convolution to (rows, C0, h, w) before the last one."""
        skips = [hidden]
        for index, block in enumerate(self.unet.down_blocks):
            for layer, (resnet, attention) in enumerate(_layers(block)):
                hidden = self._attend(attention, resnet(hidden, self.embedding))
                hidden = self._move("down_blocks", index, layer, hidden)
                skips.append(hidden)
            for downsampler in block.downsamplers or ():
                hidden = downsampler(hidden)
                skips.append(hidden)
        hidden = self._middle(hidden)
        for index, block in enumerate(self.unet.up_blocks):
            for layer, (resnet, attention) in enumerate(_layers(block)):
                hidden = resnet(torch.cat([hidden, skips.pop()], dim=1), self.embedding)
                hidden = self._move("up_blocks", index, layer, self._attend(attention, hidden))
            for upsampler in block.upsamplers or ():
                # to the size of the skip that comes next: odd sizes do not come back by doubling
                hidden = upsampler(hidden, skips[-1].shape[-2:])
        return hidden

    def _middle(self, hidden: Tensor) -> Tensor:
        block = self.unet.mid_block
        hidden = block.resnets[0](hidden, self.embedding)
        for attention, resnet in zip(block.attentions, block.resnets[1:], strict=True):
            hidden = self._attend(attention, hidden)
            if self.motion is not None and self.motion.mid_block is not None:
                hidden = apply_motion_module(self.motion.mid_block.motion_modules[0], hidden, self.frames)
            hidden = resnet(hidden, self.embedding)
        return hidden

    def _attend(self, attention: nn.Module | None, hidden: Tensor) -> Tensor:
        if attention is None:
            return hidden
        return attention(
            hidden,
            encoder_hidden_states=self.prompt,
            cross_attention_kwargs=self.attention_kwargs,
            return_dict=False,
        )[0]

    def _move(self, side: str, index: int, layer: int, hidden: Tensor) -> Tensor:
        if self.motion is None:
            return hidden
        return apply_motion_module(getattr(self.motion, side)[index].motion_modules[layer], hidden, self.frames)


def _time_embedding(unet: UNet2DConditionModel, timesteps: Tensor, dtype: torch.dtype) -> Tensor:
    return unet.time_embedding(unet.time_proj(timesteps).to(dtype))


class Denoiser(nn.Module):
    """Stable Diffusion's UNet plus AnimateDiff's temporal layers (VividPortraits, section 3)."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        in_channels = config.latent_channels * (2 if config.reference_concat else 1)
        self.unet = UNet2DConditionModel(
            in_channels=in_channels, out_channels=config.latent_channels, **config.unet_kwargs()
        )
        install_processors(self.unet)
        self.motion = _motion_adapter(config) if config.temporal else None

    def keys_and_values(self, bank: Bank) -> KeysAndValues:
        """The reference's keys and values for every self-attention layer, from ReferenceNet's tokens."""
        return project_reference(self.unet, bank)

    def forward(
        self,
        latents: Tensor,
        timesteps: Tensor,
        *,
        prompt: Tensor,
        pose: Tensor | None = None,
        reference: KeysAndValues | None = None,
        temporal: bool = True,
    ) -> Tensor:
        """Predict for every frame of a batch of clips.

        Args:
            latents: (B, F, C_in, h, w); with ``reference_concat`` the reference latents follow the noisy ones.
            timesteps: (B, F); history frames carry timestep 0.
            prompt: (B, tokens, D).
            pose: (B, F, C0, h, w), the PoseGuider's output, added after the first convolution; None adds nothing.
            reference: from ``keys_and_values``; None attends to the frame's own tokens only.
            temporal: False leaves the temporal layers out (training stage 1).
        Returns:
            (B, F, C, h, w).
        """
        batch, frames = latents.shape[:2]
        hidden = self.unet.conv_in(latents.flatten(0, 1))
        if pose is not None:
            hidden = hidden + pose.flatten(0, 1)
        # one layout throughout: on CPUs torch's channels-last group norm crashes going back where its input needs no
        # gradient, as the first trained layer of stage 2 has it
        hidden = hidden.contiguous()
        walk = BlockWalk(
            self.unet,
            motion=self.motion if temporal else None,
            frames=frames,
            embedding=_time_embedding(self.unet, timesteps.flatten(), latents.dtype),
            prompt=prompt,
            attention_kwargs={"reference": reference},
        )
        hidden = self.unet.conv_act(self.unet.conv_norm_out(walk(hidden)))
        return self.unet.conv_out(hidden).unflatten(0, (batch, frames))


class ReferenceNet(nn.Module):
    """The denoiser's structure without temporal layers; run once per reference, at timestep 0."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.unet = UNet2DConditionModel(
            in_channels=config.latent_channels, out_channels=config.latent_channels, **config.unet_kwargs()
        )
        install_processors(self.unet)
        _drop_what_is_never_read(self.unet)

    def forward(self, latents: Tensor, *, prompt: Tensor, pose: Tensor | None = None) -> Bank:
        """Collect the normalised tokens at every self-attention layer.

        Args:
            latents: (B, C, h, w), the reference's.
            prompt: (B, tokens, D).
            pose: (B, C0, h, w) from the reference's own PoseGuider, or None.
        """
        bank: Bank = {}
        hidden = self.unet.conv_in(latents)
        if pose is not None:
            hidden = hidden + pose
        timesteps = torch.zeros(latents.shape[0], device=latents.device)
        walk = BlockWalk(
            self.unet,
            motion=None,
            frames=1,
            embedding=_time_embedding(self.unet, timesteps, latents.dtype),
            prompt=prompt,
            attention_kwargs={"bank": bank},
        )
        walk(hidden)
        return bank


def _drop_what_is_never_read(unet: UNet2DConditionModel) -> None:
    """Remove the weights after the last self-attention: they influence no banked token."""
    unet.conv_norm_out = None
    unet.conv_out = None
    attending = [index for index, block in enumerate(unet.up_blocks) if getattr(block, "attentions", None)]
    if not attending:
        return
    del unet.up_blocks[attending[-1] + 1 :]
    last = unet.up_blocks[-1]
    last.upsamplers = None
    block = last.attentions[-1].transformer_blocks[-1]
    block.attn2 = None
    block.ff = nn.Identity()


def _motion_adapter(config: UNetConfig) -> MotionAdapter:
    adapter = MotionAdapter(
        block_out_channels=config.block_out_channels,
        motion_layers_per_block=config.layers_per_block,
        motion_num_attention_heads=config.motion_heads,
        motion_norm_num_groups=config.norm_num_groups,
        motion_max_seq_length=config.motion_max_length,
    )
    for module in adapter.modules():
        if isinstance(module, SinusoidalPositionalEmbedding):
            module.register_buffer("pe", module.pe, persistent=False)  # a fixed table: no file needs to carry it
        if isinstance(module, AnimateDiffTransformer3D):
            # a fresh temporal layer changes nothing, so stage 2 starts from stage 1 exactly
            nn.init.zeros_(module.proj_out.weight)
            nn.init.zeros_(module.proj_out.bias)
    return adapter
