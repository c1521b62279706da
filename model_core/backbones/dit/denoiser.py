"""The network that is run: SD3's transformer over token groups, with video attention between its blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from diffusers import SD3Transformer2DModel
from torch import Tensor, nn

from ...types import Baseline
from ..baseline import validity_channels
from .config import DiTConfig
from .positions import REFERENCE, positions
from .video_attention import KeysAndValues, VideoAttention

HistoryState = Mapping[int, KeysAndValues]
"""The keys and values of the history frames, by the block that their video attention follows."""


class Denoiser(nn.Module):
    """diffusers' SD3Transformer2DModel, whose blocks run over one to three groups of tokens.

    Its weights are the base model's, under the base model's names, in ``transformer``. New are ``video_attention``
    and the stored embeddings of the null prompt, which take the text encoders' place; in narrow models also ``beside``
    (``DiTConfig.conditions_beside``) and ``validity`` (``DiTConfig.baseline``). Token groups side by side: Stable
    Video-Driven Portraits.
    """

    null_prompt: Tensor
    null_pooled: Tensor

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.patch_size = config.patch_size
        self.transformer = SD3Transformer2DModel(**config.transformer_kwargs())
        self.video_attention = nn.ModuleDict(
            {
                str(block): VideoAttention(config.width, config.num_attention_heads, config.video_attention)
                for block in config.video_attention_after
            }
        )
        beside = range(2) if config.conditions_beside else ()  # reference, driving
        self.beside = nn.ModuleList([nn.Linear(config.width, config.width, bias=False) for _ in beside])
        self.stride = config.latent_stride
        self.validity = _validity_embedding(config) if config.baseline else None
        self.register_buffer("null_prompt", torch.zeros(1, config.prompt_tokens, config.joint_attention_dim))
        self.register_buffer("null_pooled", torch.zeros(1, config.pooled_projection_dim))
        self._begin_with_nothing()

    def embed(self, latents: Tensor, group: int) -> Tensor:
        """Latents (N, C, h, w) to tokens (N, S, D) in their group's place; the same embedding for all groups."""
        embed = self.transformer.pos_embed
        patches = embed.proj(latents)
        place = positions(embed, (patches.shape[-2], patches.shape[-1]), group)
        tokens = patches.flatten(2).transpose(1, 2)
        return (tokens + place).to(tokens.dtype).contiguous()

    def embed_baseline(self, baseline: Baseline) -> Tensor:
        """Latents (B, F, C, h, w) and validity (B, F, 1, H, W) to reference tokens (B, F, S, D)."""
        assert self.validity is not None
        tokens = self.embed(baseline.latents.flatten(0, 1), REFERENCE)
        shown = self.validity(validity_channels(baseline.validity.flatten(0, 1).to(tokens), self.stride))
        return (tokens + shown.flatten(2).transpose(1, 2)).unflatten(0, baseline.latents.shape[:2])

    def forward(
        self,
        groups: Sequence[Tensor],
        timesteps: Tensor,
        *,
        size: tuple[int, int],
        history: HistoryState | None = None,
        temporal: bool = True,
    ) -> Tensor:
        """Predict.

        Args:
            groups: (B * F, S, D) each, from ``embed``; the noisy one first.
            timesteps: (B, F).
            size: (h, w) of the latents.
            history: from ``remember``.
            temporal: False leaves video attention out.
        Returns:
            (B * F, C, h, w).
        """
        tokens, embedded, _ = self._blocks(groups, timesteps, history=history, temporal=temporal)
        out = self.transformer.proj_out(self.transformer.norm_out(tokens, embedded))
        patch = self.patch_size
        out = out.unflatten(-1, (patch, patch, -1)).unflatten(1, (size[0] // patch, size[1] // patch))
        return torch.einsum("nhwpqc->nchpwq", out).flatten(4, 5).flatten(2, 3)

    def remember(self, groups: Sequence[Tensor], batch: int) -> HistoryState:
        """Run finished frames once, for what all later steps will see of them.

        Timestep 0 says that there is nothing to denoise. They see one another, never the frames being denoised,
        so the result holds for all steps and branches.

        Args:
            groups: (batch * N, S, D) each, of N frames.
        """
        frames = len(groups[0]) // batch
        zeros = torch.zeros(batch, frames, device=groups[0].device)
        return self._blocks(groups, zeros, first=-frames)[2]

    def _blocks(
        self,
        groups: Sequence[Tensor],
        timesteps: Tensor,
        *,
        history: HistoryState | None = None,
        temporal: bool = True,
        first: int = 0,
    ) -> tuple[Tensor, Tensor, HistoryState]:
        """The noisy group's tokens behind all blocks, the timesteps' embedding, and what video attention has seen."""
        network = self.transformer
        length = groups[0].shape[1]
        noisy, *conditions = groups
        for layer, condition in zip(self.beside, conditions, strict=False):  # a branch may leave some out
            noisy = noisy + layer(condition)
        tokens = torch.cat([noisy, *conditions], dim=1)
        count = len(tokens)
        embedded = network.time_text_embed(timesteps.flatten(), self.null_pooled.to(tokens).expand(count, -1))
        prompt = network.context_embedder(self.null_prompt.to(tokens)).expand(count, -1, -1)
        seen: dict[int, KeysAndValues] = {}
        for number, block in enumerate(network.transformer_blocks):
            prompt, tokens = block(hidden_states=tokens, encoder_hidden_states=prompt, temb=embedded)
            if temporal and str(number) in self.video_attention:
                noisy = tokens[:, :length].unflatten(0, timesteps.shape)
                past = None if history is None else history[number]
                noisy, seen[number] = self.video_attention[str(number)](noisy, past, first=first)
                tokens = torch.cat([noisy.flatten(0, 1), tokens[:, length:]], dim=1)
        return tokens[:, :length], embedded, seen

    def _begin_with_nothing(self) -> None:
        """A fresh transformer's blocks and output add nothing, which is the usual start of training from nothing."""
        quiet = [self.transformer.proj_out]
        for block in self.transformer.transformer_blocks:
            quiet += [block.norm1.linear, block.norm1_context.linear]
        for layer in quiet:
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        if len(self.beside):  # products of random matrices would all but lose some directions of a patch
            for layer in (self.transformer.pos_embed.proj, *self.beside):
                nn.init.orthogonal_(layer.weight)


def _validity_embedding(config: DiTConfig) -> nn.Conv2d:
    """From the pixels' validity to tokens; a fresh one says nothing."""
    patch = config.patch_size
    layer = nn.Conv2d(config.latent_stride**2, config.width, patch, stride=patch, bias=False)
    nn.init.zeros_(layer.weight)
    return layer


def parameter_counts(config: DiTConfig) -> tuple[int, int]:
    """Parameters of the base model, and of what is new beside it; nothing is allocated."""
    with torch.device("meta"):
        network = Denoiser(config)
    base = sum(parameter.numel() for parameter in network.transformer.parameters())
    return base, sum(parameter.numel() for parameter in network.parameters()) - base
