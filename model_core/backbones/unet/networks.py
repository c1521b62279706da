"""Denoiser and ReferenceNet: diffusers' UNet walked block by block, with temporal layers in between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import MotionAdapter, UNet2DConditionModel
from diffusers.models.embeddings import SinusoidalPositionalEmbedding
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D
from torch import Tensor, nn

from .attention import Attend, Bank, KeysAndValues, Prompt, project_prompt, project_reference, sdpa
from .blocks import (
    Entered,
    enter_tokens,
    enter_transformer,
    finish_transformer,
    normalise,
    residual_layer,
    temporal_layer,
    upsample,
)
from .config import UNetConfig


@dataclass(frozen=True)
class Seen:
    """What the layers of one pass attend to, and how.

    Attributes:
        prompt: from ``project_prompt``.
        reference: from ``project_reference``; layers that it leaves out attend to the frame's own tokens only.
        attend: how spatial attention is computed.
    """

    prompt: Prompt
    reference: KeysAndValues = field(default_factory=dict)
    attend: Attend = sdpa


@dataclass(frozen=True)
class Stem:
    """The first layers of a pass, up to the first meeting with reference and prompt: branches may share them.

    Attributes:
        hidden: (rows, C0, h, w) after the first convolution.
        embedding: (rows, D) time embedding of every frame.
        residual: after the first residual layer.
        entered: into the first spatial transformer; None where the top level does not attend.
    """

    hidden: Tensor
    embedding: Tensor
    residual: Tensor
    entered: Entered | None

    def repeated(self, times: int) -> Stem:
        """The same for several branches, one after another."""
        if times == 1:
            return self
        entered = None if self.entered is None else Entered(*(torch.cat([part] * times) for part in self.entered))
        hidden, embedding, residual = (
            torch.cat([part] * times) for part in (self.hidden, self.embedding, self.residual)
        )
        return Stem(hidden, embedding, residual, entered)


class BlockWalk:
    """One pass through the blocks of a UNet: resnet, spatial attention, temporal layer, in SD1.5's order.

    Args:
        unet: whose blocks are walked.
        embedding: (rows, D) time embedding of every frame.
        seen: what the layers attend to, for every branch; the rows are the branches' one after another.
        motion: temporal layers in step with the blocks, or None.
        frames: frames per clip, for the temporal layers.
        joint_frames: frames that residual layers normalise jointly; 1 for each alone.
        bank: where to leave the normalised tokens of every self-attention.
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        embedding: Tensor,
        seen: Sequence[Seen],
        *,
        motion: MotionAdapter | None = None,
        frames: int = 1,
        joint_frames: int = 1,
        bank: Bank | None = None,
    ) -> None:
        self.unet = unet
        self.embedding = embedding
        self.seen = seen
        self.motion = motion
        self.frames = frames
        self.joint_frames = joint_frames
        self.bank = bank

    def __call__(self, stem: Stem) -> Tensor:
        """From the stem to (rows, C0, h, w) before the last convolution."""
        hidden = stem.hidden
        skips = [hidden]
        for index, block in enumerate(self.unet.down_blocks):
            for layer, (resnet, attention) in enumerate(_layers(block)):
                path = f"down_blocks.{index}.attentions.{layer}"
                if index == layer == 0:
                    hidden = stem.residual
                    if attention is not None and stem.entered is not None:
                        hidden = self._finish(attention, path, stem.entered)
                else:
                    hidden = self._attend(attention, path, self._resnet(resnet, hidden))
                hidden = self._move("down_blocks", index, layer, hidden)
                skips.append(hidden)
            for downsampler in block.downsamplers or ():
                hidden = downsampler(hidden)
                skips.append(hidden)
        hidden = self._middle(hidden)
        for index, block in enumerate(self.unet.up_blocks):
            for layer, (resnet, attention) in enumerate(_layers(block)):
                hidden = self._resnet(resnet, torch.cat([hidden, skips.pop()], dim=1))
                hidden = self._attend(attention, f"up_blocks.{index}.attentions.{layer}", hidden)
                hidden = self._move("up_blocks", index, layer, hidden)
            for upsampler in block.upsamplers or ():
                hidden = upsample(upsampler, hidden, skips[-1].shape[-2:])
        return hidden

    def _middle(self, hidden: Tensor) -> Tensor:
        block = self.unet.mid_block
        hidden = self._resnet(block.resnets[0], hidden)
        for layer, (attention, resnet) in enumerate(zip(block.attentions, block.resnets[1:], strict=True)):
            hidden = self._attend(attention, f"mid_block.attentions.{layer}", hidden)
            if self.motion is not None and self.motion.mid_block is not None:
                hidden = temporal_layer(self.motion.mid_block.motion_modules[0], hidden, self.frames)
            hidden = self._resnet(resnet, hidden)
        return hidden

    def _resnet(self, layer: ResnetBlock2D, hidden: Tensor) -> Tensor:
        return residual_layer(layer, hidden, self.embedding, self.joint_frames)

    def _attend(self, attention: Transformer2DModel | None, path: str, hidden: Tensor) -> Tensor:
        if attention is None:
            return hidden
        if attention.transformer_blocks[0].attn1 is None:  # ReferenceNet's last: nothing after its tokens is read
            assert self.bank is not None
            self.bank[_self_attention(path)] = enter_tokens(attention, hidden)[1]
            return hidden
        return self._finish(attention, path, enter_transformer(attention, hidden))

    def _finish(self, attention: Transformer2DModel, path: str, entered: Entered) -> Tensor:
        if self.bank is not None:
            self.bank[_self_attention(path)] = entered.normed
        return finish_transformer(
            attention,
            entered,
            references=[seen.reference.get(_self_attention(path)) for seen in self.seen],
            prompts=[seen.prompt[f"{path}.transformer_blocks.0.attn2"] for seen in self.seen],
            attend=self.seen[0].attend,
        )

    def _move(self, side: str, index: int, layer: int, hidden: Tensor) -> Tensor:
        if self.motion is None:
            return hidden
        return temporal_layer(getattr(self.motion, side)[index].motion_modules[layer], hidden, self.frames)


def _self_attention(path: str) -> str:
    return f"{path}.transformer_blocks.0.attn1"


def _layers(block: nn.Module) -> Iterator[tuple[ResnetBlock2D, Transformer2DModel | None]]:
    """Pairs of residual layer and attention layer (None where the level does not attend)."""
    resnets: list[Any] = list(block.get_submodule("resnets").children())
    attentions = getattr(block, "attentions", None) or [None] * len(resnets)
    return zip(resnets, attentions, strict=True)


def _stem(unet: UNet2DConditionModel, hidden: Tensor, timesteps: Tensor, joint_frames: int = 1) -> Stem:
    """The first layers on what the first convolution made, (rows, C0, h, w)."""
    if not torch.is_grad_enabled():  # tokens are then views. Going back, group norm in this layout crashes on CPUs
        hidden = hidden.contiguous(memory_format=torch.channels_last)
    embedding = unet.time_embedding(unet.time_proj(timesteps).to(hidden.dtype))
    resnet, attention = next(_layers(unet.down_blocks[0]))
    residual = residual_layer(resnet, hidden, embedding, joint_frames)
    return Stem(hidden, embedding, residual, None if attention is None else enter_transformer(attention, residual))


class Denoiser(nn.Module):
    """Stable Diffusion's UNet plus AnimateDiff's temporal layers (VividPortraits, section 3)."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        self.unet = UNet2DConditionModel(
            in_channels=config.in_channels, out_channels=config.latent_channels, **config.unet_kwargs()
        )
        if config.baseline:
            nn.init.zeros_(self.unet.conv_out.weight)
            nn.init.zeros_(self.unet.conv_out.bias)
        self.motion = _motion_adapter(config) if config.temporal else None
        self.prompt_projection = _prompt_projection(config)

    def project_reference(self, bank: Bank) -> KeysAndValues:
        """The reference's keys and values for the self-attention layers, from ReferenceNet's tokens."""
        if self.config.round_reference:
            bank = {path: tokens.half().to(tokens.dtype) for path, tokens in bank.items()}
        if self.config.reference_blocks == "midup":
            bank = {path: tokens for path, tokens in bank.items() if not path.startswith("down_blocks")}
        return project_reference(self.unet, bank)

    def project_prompt(self, prompt: Tensor) -> Prompt:
        """What the cross-attention layers need of the image encoder's tokens (B, tokens, D)."""
        return project_prompt(self.unet, self.prompt_projection(prompt))

    def stem(self, latents: Tensor, timesteps: Tensor, pose: Tensor | None = None) -> Stem:
        """The layers before reference and prompt come in: branches that see the same frames share it.

        Args:
            latents: (B, F, C_in, h, w); behind the noisy ones, the baseline's latents and validity if it is used.
            timesteps: (B, F); history frames carry timestep 0.
            pose: (B, F, C0, h, w), the PoseGuider's output, added after the first convolution; None adds nothing.
        """
        hidden = self.unet.conv_in(latents.flatten(0, 1))
        if pose is not None:
            hidden = hidden + pose.flatten(0, 1)
        return _stem(self.unet, hidden, timesteps.flatten(), self._joint(latents.shape[1]))

    def forward(self, stem: Stem, seen: Sequence[Seen], *, frames: int, temporal: bool = True) -> list[Tensor]:
        """Predict for every frame of a batch of clips.

        Args:
            stem: of B clips.
            seen: what every branch to predict attends to. Branches run as one batch, so that weights are read once,
                and share the stem.
            frames: per clip.
            temporal: False leaves the temporal layers out (training stage 1).
        Returns:
            (B, frames, C, h, w) for every branch.
        """
        stem = stem.repeated(len(seen))
        walk = BlockWalk(
            self.unet,
            stem.embedding,
            seen,
            motion=self.motion if temporal else None,
            frames=frames,
            joint_frames=self._joint(frames),
        )
        hidden = F.silu(normalise(self.unet.conv_norm_out, walk(stem), self._joint(frames)))
        return [part.unflatten(0, (-1, frames)) for part in self.unet.conv_out(hidden).chunk(len(seen))]

    def _joint(self, frames: int) -> int:
        return frames if self.config.joint_norm else 1


class ReferenceNet(nn.Module):
    """The denoiser's structure without temporal layers; run once per reference, at timestep 0."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.unet = UNet2DConditionModel(
            in_channels=config.latent_channels, out_channels=config.latent_channels, **config.unet_kwargs()
        )
        self.prompt_projection = _prompt_projection(config)
        _drop_what_is_never_read(self.unet)

    def forward(self, latents: Tensor, *, prompt: Tensor, pose: Tensor | None = None, attend: Attend = sdpa) -> Bank:
        """Collect the normalised tokens at every self-attention layer.

        Args:
            latents: (B, C, h, w), the reference's.
            prompt: (B, tokens, D) of the image encoder.
            pose: (B, C0, h, w) from the reference's own PoseGuider, or None.
            attend: how spatial attention is computed.
        """
        bank: Bank = {}
        hidden = self.unet.conv_in(latents)
        if pose is not None:
            hidden = hidden + pose
        stem = _stem(self.unet, hidden, torch.zeros(len(latents), device=latents.device))
        seen = Seen(project_prompt(self.unet, self.prompt_projection(prompt)), attend=attend)
        BlockWalk(self.unet, stem.embedding, [seen], bank=bank)(stem)
        return bank


def _drop_what_is_never_read(unet: UNet2DConditionModel) -> None:
    """Remove the weights after the last self-attention's norm: they influence no banked token."""
    unet.conv_norm_out = None
    unet.conv_out = None
    attending = [index for index, block in enumerate(unet.up_blocks) if getattr(block, "attentions", None)]
    if not attending:
        return
    del unet.up_blocks[attending[-1] + 1 :]
    last = unet.up_blocks[-1]
    last.upsamplers = None
    last.attentions[-1].proj_out = None
    block = last.attentions[-1].transformer_blocks[0]
    for name in ("attn1", "norm2", "attn2", "norm3", "ff"):
        setattr(block, name, None)


def _prompt_projection(config: UNetConfig) -> nn.Module:
    """From the image encoder's states to prompt tokens; a network's own, as FollowYourEmoji has it."""
    if config.prompt_kind == "embedding":
        return nn.Identity()
    return nn.Linear(config.image_encoder["hidden_size"], config.cross_attention_dim)


def _motion_adapter(config: UNetConfig) -> MotionAdapter:
    adapter = MotionAdapter(
        block_out_channels=config.block_out_channels,
        motion_layers_per_block=config.layers_per_block,
        motion_num_attention_heads=config.motion_heads,
        motion_norm_num_groups=config.motion_norm_groups or config.norm_num_groups,
        motion_max_seq_length=config.motion_max_length,
        use_motion_mid_block=config.motion_mid_block,
    )
    for module in adapter.modules():
        if isinstance(module, SinusoidalPositionalEmbedding):
            module.register_buffer("pe", module.pe, persistent=False)  # a fixed table: no file needs to carry it
        if isinstance(module, AnimateDiffTransformer3D):
            # a fresh temporal layer changes nothing, so stage 2 starts from stage 1 exactly
            nn.init.zeros_(module.proj_out.weight)
            nn.init.zeros_(module.proj_out.bias)
    return adapter
