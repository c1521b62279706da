"""What the layers of a UNet compute, on diffusers' modules as holders of the weights.

Written out instead of called, for what a clip can save: the reference and the prompt come projected, a prompt of one
token costs an addition, temporal attention needs no copies of its tokens, and upsampling convolves before it enlarges.
The arithmetic is diffusers' (tests compare); rows are the frames of all clips, (B * F, C, h, w).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D
from diffusers.models.upsampling import Upsample2D
from torch import Tensor, nn

from .attention import Attend, attend_heads, attend_prompt, join_reference, sdpa


def to_tokens(hidden: Tensor) -> Tensor:
    """(rows, C, h, w) to (rows, h * w, C); a view in channels-last layout."""
    return hidden.permute(0, 2, 3, 1).flatten(1, 2)


def from_tokens(tokens: Tensor, like: Tensor) -> Tensor:
    """The inverse of ``to_tokens``, in the layout of ``like``."""
    hidden = tokens.unflatten(1, like.shape[-2:]).permute(0, 3, 1, 2)
    return hidden.contiguous() if like.is_contiguous() else hidden


def normalise(norm: nn.GroupNorm, hidden: Tensor, joint_frames: int = 1) -> Tensor:
    """GroupNorm of every frame alone, or of ``joint_frames`` frames jointly."""
    if joint_frames == 1:
        return norm(hidden)
    clips = hidden.unflatten(0, (-1, joint_frames)).transpose(1, 2)  # (B, C, F, h, w)
    return norm(clips).transpose(1, 2).flatten(0, 1).contiguous()


def residual_layer(layer: ResnetBlock2D, hidden: Tensor, embedding: Tensor, joint_frames: int = 1) -> Tensor:
    """diffusers' residual layer; with ``joint_frames`` its norms run over the frames of a clip jointly."""
    if joint_frames == 1:
        return layer(hidden, embedding)
    inner = layer.conv1(F.silu(normalise(layer.norm1, hidden, joint_frames)))
    inner = inner + layer.time_emb_proj(F.silu(embedding))[:, :, None, None]
    inner = layer.conv2(F.silu(normalise(layer.norm2, inner, joint_frames)))
    return inner + (hidden if layer.conv_shortcut is None else layer.conv_shortcut(hidden))


class Entered(NamedTuple):
    """A spatial transformer up to where it meets the reference: what all branches of a step may share.

    Attributes:
        hidden: (rows, C, h, w), the layer's input.
        tokens: (rows, h * w, C), projected.
        normed: the tokens, normalised for self-attention.
        query, keys, values: these projected.
    """

    hidden: Tensor
    tokens: Tensor
    normed: Tensor
    query: Tensor
    keys: Tensor
    values: Tensor


def pointwise(layer: nn.Conv2d, tokens: Tensor) -> Tensor:
    """A 1 x 1 convolution of tokens."""
    return F.linear(tokens, layer.weight.flatten(1).to(tokens.dtype), layer.bias)


def enter_tokens(layer: Transformer2DModel, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """The projected tokens of a spatial transformer, and these normalised for self-attention (what is banked)."""
    tokens = pointwise(layer.proj_in, to_tokens(layer.norm(hidden)))
    return tokens, layer.transformer_blocks[0].norm1(tokens)


def enter_transformer(layer: Transformer2DModel, hidden: Tensor) -> Entered:
    """Run a spatial transformer up to its self-attention's projections."""
    tokens, normed = enter_tokens(layer, hidden)
    attention = layer.transformer_blocks[0].attn1
    projected = (project(normed) for project in (attention.to_q, attention.to_k, attention.to_v))
    return Entered(hidden, tokens, normed, *projected)


def finish_transformer(
    layer: Transformer2DModel,
    entered: Entered,
    *,
    references: Sequence[tuple[Tensor, Tensor] | None],
    prompts: Sequence[Tensor | tuple[Tensor, Tensor]],
    attend: Attend,
) -> Tensor:
    """The rest of a spatial transformer: self-attention, cross-attention, feed-forward, each added to the tokens.

    Args:
        entered: of one branch, or of several one after another.
        references: for each branch, keys and values of the reference, (B, tokens, C) each, or None.
        prompts: for each branch, this layer's part of ``project_prompt``.
    """
    block, hidden, tokens = layer.transformer_blocks[0], entered.hidden, entered.tokens
    branches = len(references)
    own = zip(entered.keys.chunk(branches), entered.values.chunk(branches), references, strict=True)
    seen = [join_reference(*what) for what in own]
    tokens = tokens + attend_heads(block.attn1, entered.query, seen, attend)
    rows = len(tokens) // branches
    tokens = tokens + attend_prompt(block.attn2, lambda: block.norm2(tokens), prompts, rows, attend)
    tokens = tokens + block.ff(block.norm3(tokens))
    return from_tokens(pointwise(layer.proj_out, tokens), hidden) + hidden


def temporal_layer(module: AnimateDiffTransformer3D, hidden: Tensor, frames: int) -> Tensor:
    """One AnimateDiff temporal layer: attention over the frames at every position.

    The norm runs over each frame alone, as in AnimateDiff's released code; diffusers' own forward normalises over all
    frames jointly, which would let the frames of a window change each other's statistics.

    Args:
        hidden: (B * frames, C, h, w).
    """
    tokens = module.proj_in(to_tokens(module.norm(hidden))).unflatten(0, (-1, frames))  # (B, F, positions, C)
    for block in module.transformer_blocks:
        place = block.pos_embed.pe[0, :frames, None].to(tokens)
        for norm, attention in ((block.norm1, block.attn1), (block.norm2, block.attn2)):
            tokens = tokens + _attend_over_time(attention, norm(tokens) + place)
        tokens = tokens + block.ff(block.norm3(tokens))
    return hidden + from_tokens(module.proj_out(tokens).flatten(0, 1), hidden)


def _attend_over_time(attention: Attention, normed: Tensor) -> Tensor:
    """Self-attention of every position over its frames, (B, F, positions, C) to the same; the tokens stay in place."""

    def lay(projected: Tensor) -> Tensor:  # (B, F, P, C) to (B * P, heads, F, D)
        return projected.unflatten(-1, (attention.heads, -1)).permute(0, 2, 3, 1, 4).flatten(0, 1)

    made = sdpa(*(lay(project(normed)) for project in (attention.to_q, attention.to_k, attention.to_v)))
    made = made.unflatten(0, (len(normed), -1)).permute(0, 3, 1, 2, 4).flatten(3)
    return attention.to_out[0](made)


def upsample(layer: Upsample2D, hidden: Tensor, size: torch.Size) -> Tensor:
    """Enlarge to ``size``, the next skip's: nearest neighbours, then a 3 x 3 convolution.

    Odd sizes do not come back by doubling; even ones do, and then the convolution runs before the doubling: each of
    the four pixels made of one sees only 2 x 2 different ones, so four 2 x 2 kernels of summed weights give the same
    in 16 instead of 36 multiplications.
    """
    if size != torch.Size(2 * side for side in hidden.shape[-2:]):
        return layer(hidden, size)
    layout = torch.contiguous_format if hidden.is_contiguous() else torch.channels_last
    weight = layer.conv.weight.to(hidden.dtype)
    padded = F.pad(hidden, (1, 1, 1, 1))
    height, width = hidden.shape[-2:]
    made = hidden.new_empty(len(hidden), len(weight), *size).contiguous(memory_format=layout)
    for row, by_rows in enumerate(_halves(weight, 2)):
        for column, kernel in enumerate(_halves(by_rows, 3)):
            seen = padded[..., row : row + height + 1, column : column + width + 1]
            kernel = kernel.contiguous(memory_format=layout)
            made[..., row::2, column::2] = F.conv2d(seen, kernel, layer.conv.bias)
    return made


def _halves(weight: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Three taps along an axis as they fall on two pixels, for the first and the second pixel of a doubled one."""
    first, second, third = weight.unbind(axis)
    return torch.stack([first, second + third], axis), torch.stack([first + second, third], axis)
