"""Attention processors that join the reference's keys and values to the denoiser's self-attention.

A diffusers ``Attention`` module keeps its weights and calls a processor. The state of a clip (the keys and
values of its reference) reaches the processors through ``cross_attention_kwargs`` on every call and is
stored in no module, so a cancelled run leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import Tensor

KeysAndValues = dict[str, tuple[Tensor, Tensor]]
"""Per attention layer (its module path): keys and values of the reference, each (B, tokens, channels)."""

Bank = dict[str, Tensor]
"""Per attention layer (its module path): normalised tokens of the ReferenceNet, (B, tokens, channels)."""


Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Query, keys and values, (B, heads, tokens, D) each, to (B, heads, queries, D)."""

_SCORES_AT_ONCE = 2**24  # numbers of the attention matrix, over batch and heads: 32 MiB in float16


def _heads(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def sdpa(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """torch's own attention: the fastest kernel that the device has. (B, heads, tokens, D) each."""
    return F.scaled_dot_product_attention(query, keys, values)


def sliced(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """The same result, some queries at a time: bounds the scores where a device has no fused kernel."""
    rows = max(1, _SCORES_AT_ONCE // (query.shape[0] * query.shape[1] * keys.shape[2]))
    parts = [sdpa(part, keys, values) for part in query.split(rows, dim=2)]
    return torch.cat(parts, dim=2)


ATTENTIONS: dict[str, Attend] = {"sdpa": sdpa, "sliced": sliced}


def _attend(attn: Attention, hidden: Tensor, keys: Tensor, values: Tensor, attend: Attend) -> Tensor:
    query = _heads(attn.to_q(hidden), attn.heads)
    out = attend(query, _heads(keys, attn.heads), _heads(values, attn.heads))
    return attn.to_out[0](out.transpose(1, 2).flatten(2))


def _per_frame(x: Tensor, rows: int) -> Tensor:
    """(B, ...) to (rows, ...), each clip's entry once per frame; a view where there is one clip."""
    if x.shape[0] == 1:
        return x.expand(rows, *x.shape[1:])
    return x.repeat_interleave(rows // x.shape[0], dim=0)


class SelfAttention:
    """Self-attention over a frame's own tokens and, where given, the reference's.

    One joint softmax over both, as in AnimateAnyone. With ``bank`` the layer writes its input (the output
    of the block's norm1) there: that is how ReferenceNet's features are read.
    """

    def __init__(self, path: str, attend: Attend = sdpa) -> None:
        self.path = path
        self.attend = attend

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        reference: KeysAndValues | None = None,
        bank: Bank | None = None,
    ) -> Tensor:
        if bank is not None:
            bank[self.path] = hidden_states
        keys, values = attn.to_k(hidden_states), attn.to_v(hidden_states)
        if reference is not None:
            rows = hidden_states.shape[0]
            reference_keys, reference_values = reference[self.path]
            keys = torch.cat([keys, _per_frame(reference_keys, rows)], dim=1)
            values = torch.cat([values, _per_frame(reference_values, rows)], dim=1)
        return _attend(attn, hidden_states, keys, values, self.attend)


class PromptAttention:
    """Cross-attention to the image prompt.

    With a single prompt token softmax is 1, so the layer is exactly ``to_out(to_v(prompt))`` whatever the
    queries; it is computed so, once per clip instead of once per token.
    """

    def __init__(self, attend: Attend = sdpa) -> None:
        self.attend = attend

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        reference: KeysAndValues | None = None,
        bank: Bank | None = None,
    ) -> Tensor:
        rows = hidden_states.shape[0]
        values = attn.to_v(encoder_hidden_states)
        if encoder_hidden_states.shape[1] == 1:
            return _per_frame(attn.to_out[0](values), rows)
        keys = attn.to_k(encoder_hidden_states)
        return _attend(attn, hidden_states, _per_frame(keys, rows), _per_frame(values, rows), self.attend)


def install_processors(unet: UNet2DConditionModel, attend: Attend = sdpa) -> None:
    """Give every spatial attention layer of a UNet the processors above."""
    processors: dict[str, SelfAttention | PromptAttention] = {}
    for path in unet.attn_processors:
        layer = path.removesuffix(".processor")
        processors[path] = SelfAttention(layer, attend) if layer.endswith("attn1") else PromptAttention(attend)
    unet.set_attn_processor(processors)


def project_reference(unet: UNet2DConditionModel, bank: Bank) -> KeysAndValues:
    """Project banked tokens to the denoiser's keys and values: they depend on neither frame, step nor branch.

    Args:
        unet: the denoiser, whose ``to_k`` and ``to_v`` are used.
        bank: the ReferenceNet's tokens; paired with the denoiser's layers by module path.
    """
    layers = {path: unet.get_submodule(path) for path in bank}
    return {path: (layers[path].to_k(tokens), layers[path].to_v(tokens)) for path, tokens in bank.items()}
