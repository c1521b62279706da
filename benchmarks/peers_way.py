"""One denoising step as the public AnimateAnyone code runs it, on our weights: what bench_full_size.py compares with.

Guidance as a batch of two, [unconditional, conditional]. Self-attention joins the reference's hidden states to every
frame's and projects them again; it runs on the whole batch, then again without the reference for the unconditional
half, whose first result is thrown away. The prompt's single token goes through full cross-attention, and temporal
layers copy their tokens back and forth around each attention. The library does none of this.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers import MotionAdapter, UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from einops import rearrange, repeat
from torch import Tensor, nn

from model_core.backbones.unet.attention import Bank
from model_core.backbones.unet.networks import Denoiser


def _attention(layer: Attention, tokens: Tensor, seen: Tensor) -> Tensor:
    query, keys, values = layer.to_q(tokens), layer.to_k(seen), layer.to_v(seen)
    query, keys, values = (rearrange(x, "b n (h d) -> b h n d", h=layer.heads) for x in (query, keys, values))
    out = F.scaled_dot_product_attention(query, keys, values)
    return layer.to_out[0](rearrange(out, "b h n d -> b n (h d)"))


class PeersDenoiser:
    """The same weights, the peers' order of work.

    Args:
        denoiser: ours.
        bank: ReferenceNet's tokens, one row.
        prompt: (1, 1, D), the conditional half's; the unconditional half's is zero.
        frames: of the window.
    """

    def __init__(self, denoiser: Denoiser, bank: Bank, prompt: Tensor, frames: int) -> None:
        self.unet: UNet2DConditionModel = denoiser.unet
        self.motion: MotionAdapter = denoiser.motion
        # as the peers bank them: for both halves of the batch
        self.bank = {path: torch.cat([tokens, tokens]) for path, tokens in bank.items()}
        self.prompt = torch.cat([torch.zeros_like(prompt), prompt])
        self.frames = frames

    def __call__(self, latents: Tensor, timestep: Tensor, pose: Tensor) -> Tensor:
        """latents (1, F, C, h, w), pose (1, F, C0, h, w) to both halves' predictions (2, F, C, h, w)."""
        unet = self.unet
        hidden = unet.conv_in(latents.repeat(2, 1, 1, 1, 1).flatten(0, 1))
        hidden = hidden + pose.repeat(2, 1, 1, 1, 1).flatten(0, 1)
        emb = unet.time_embedding(unet.time_proj(timestep.expand(len(hidden))).to(hidden.dtype))
        skips = [hidden]
        for i, block in enumerate(unet.down_blocks):
            for j, resnet in enumerate(block.resnets):
                hidden = self._layer(block, f"down_blocks.{i}", j, resnet(hidden, emb))
                skips.append(hidden)
            if block.downsamplers:
                hidden = block.downsamplers[0](hidden)
                skips.append(hidden)
        hidden = unet.mid_block.resnets[0](hidden, emb)
        hidden = unet.mid_block.resnets[1](self._layer(unet.mid_block, "mid_block", 0, hidden), emb)
        for i, block in enumerate(unet.up_blocks):
            for j, resnet in enumerate(block.resnets):
                hidden = resnet(torch.cat([hidden, skips.pop()], dim=1), emb)
                hidden = self._layer(block, f"up_blocks.{i}", j, hidden)
            if block.upsamplers:
                hidden = block.upsamplers[0](hidden, skips[-1].shape[-2:])
        return unet.conv_out(F.silu(unet.conv_norm_out(hidden))).unflatten(0, (2, -1))

    def _layer(self, block: nn.Module, path: str, index: int, hidden: Tensor) -> Tensor:
        if getattr(block, "attentions", None):
            hidden = self._spatial(block.attentions[index], f"{path}.attentions.{index}", hidden)
        return self._temporal(self.motion.get_submodule(f"{path}.motion_modules.{index}"), hidden)

    def _spatial(self, layer: nn.Module, path: str, hidden: Tensor) -> Tensor:
        block = layer.transformer_blocks[0]
        tokens = rearrange(layer.proj_in(layer.norm(hidden)), "b c h w -> b (h w) c")
        normed = block.norm1(tokens)
        reference = repeat(self.bank[f"{path}.transformer_blocks.0.attn1"], "b n c -> (b f) n c", f=self.frames)
        attended = _attention(block.attn1, normed, torch.cat([normed, reference], dim=1)) + tokens
        unconditional = torch.arange(len(tokens)) < self.frames
        again = _attention(block.attn1, normed[unconditional], normed[unconditional]) + tokens[unconditional]
        tokens = attended.clone()
        tokens[unconditional] = again
        prompt = repeat(self.prompt, "b n c -> (b f) n c", f=self.frames)
        tokens = _attention(block.attn2, block.norm2(tokens), prompt) + tokens
        tokens = block.ff(block.norm3(tokens)) + tokens
        moved = rearrange(tokens, "b (h w) c -> b c h w", h=hidden.shape[-2]).contiguous()
        return layer.proj_out(moved) + hidden

    def _temporal(self, module: nn.Module, hidden: Tensor) -> Tensor:
        tokens = module.proj_in(rearrange(module.norm(hidden), "b c h w -> b (h w) c"))
        block = module.transformer_blocks[0]
        for norm, attention in ((block.norm1, block.attn1), (block.norm2, block.attn2)):
            over_time = rearrange(norm(tokens), "(b f) n c -> (b n) f c", f=self.frames)
            over_time = over_time + block.pos_embed.pe[:, : self.frames]
            moved = _attention(attention, over_time, over_time)
            tokens = rearrange(moved, "(b n) f c -> (b f) n c", n=tokens.shape[1]) + tokens
        tokens = module.proj_out(block.ff(block.norm3(tokens)) + tokens)
        return rearrange(tokens, "b (h w) c -> b c h w", h=hidden.shape[-2]) + hidden
