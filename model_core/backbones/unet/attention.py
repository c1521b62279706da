"""Attention of the UNet's spatial layers: to the frame itself, to the reference, to the image prompt.

diffusers' ``Attention`` modules hold the weights; what they are applied to is written out here. The reference's keys
and values and the prompt's contribution depend on neither frame, step nor branch: they are projected once per portrait
(``project_reference``, ``project_prompt``) and travel as arguments; no module stores them, so a cancelled run leaves
nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn

KeysAndValues = dict[str, tuple[Tensor, Tensor]]
"""Per attention layer (its module path): keys and values, each (B, tokens, channels)."""

Prompt = dict[str, Tensor | tuple[Tensor, Tensor]]
"""Per cross-attention layer: its whole output (B, 1, channels) for a prompt of one token, else keys and values."""

Bank = dict[str, Tensor]
"""Per self-attention layer: normalised tokens of the ReferenceNet, (B, tokens, channels)."""


Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Query, keys and values, (B, heads, tokens, D) each, to (B, heads, queries, D)."""

_SCORES_AT_ONCE = 2**24  # numbers of the attention matrix, over batch and heads: 32 MiB in float16


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, tokens, channels) to (B, heads, tokens, D)."""
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


def attend_heads(layer: Attention, query: Tensor, seen: Sequence[tuple[Tensor, Tensor]], attend: Attend) -> Tensor:
    """Multi-head attention of projected tokens, and the layer's output projection.

    Args:
        query: (parts * rows, queries, channels).
        seen: keys and values that each part of the query attends to.
    """
    parts = query.chunk(len(seen))
    made = [_attend(layer.heads, part, *what, attend) for part, what in zip(parts, seen, strict=True)]
    return layer.to_out[0](made[0] if len(made) == 1 else torch.cat(made))


def _attend(heads: int, query: Tensor, keys: Tensor, values: Tensor, attend: Attend) -> Tensor:
    query, keys, values = (split_heads(part, heads) for part in (query, keys, values))
    return attend(query, keys, values).transpose(1, 2).flatten(2)


def per_frame(x: Tensor, rows: int) -> Tensor:
    """(B, ...) to (rows, ...), each clip's entry once per frame; a view where there is one clip."""
    if x.shape[0] == 1:
        return x.expand(rows, *x.shape[1:])
    return x.repeat_interleave(rows // x.shape[0], dim=0)


def join_reference(keys: Tensor, values: Tensor, reference: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
    """A frame's own keys and values, then the reference's: one joint softmax over both, as in AnimateAnyone."""
    if reference is None:
        return keys, values
    more_keys, more_values = (per_frame(part, len(keys)) for part in reference)
    return torch.cat([keys, more_keys], dim=1), torch.cat([values, more_values], dim=1)


def attend_prompt(
    layer: Attention,
    tokens: Callable[[], Tensor],
    prompts: Sequence[Tensor | tuple[Tensor, Tensor]],
    rows: int,
    attend: Attend,
) -> Tensor:
    """Cross-attention to what ``project_prompt`` made.

    Args:
        tokens: makes the normalised tokens, (parts * rows, tokens, channels); not called for prompts of one token,
            whose output does not depend on them.
        prompts: what each part of the tokens attends to.
        rows: of each part.
    """
    single = [per_frame(prompt, rows) for prompt in prompts if isinstance(prompt, Tensor)]
    if single:
        return single[0] if len(single) == 1 else torch.cat(single)
    seen = [(per_frame(keys, rows), per_frame(values, rows)) for keys, values in prompts]
    return attend_heads(layer, layer.to_q(tokens()), seen, attend)


def attention_layers(unet: nn.Module, name: str) -> Iterator[tuple[str, Attention]]:
    """Every attention layer of a kind ("attn1": self-attention, "attn2": cross-attention) with its module path."""
    for path, module in unet.named_modules():
        if path.endswith(name) and isinstance(module, Attention):
            yield path, module


def project_reference(unet: UNet2DConditionModel, bank: Bank) -> KeysAndValues:
    """Project banked tokens to the denoiser's keys and values.

    Args:
        unet: the denoiser, whose ``to_k`` and ``to_v`` are used.
        bank: the ReferenceNet's tokens; paired with the denoiser's layers by module path.
    """
    layers = {path: unet.get_submodule(path) for path in bank}
    return {path: (layers[path].to_k(tokens), layers[path].to_v(tokens)) for path, tokens in bank.items()}


def project_prompt(unet: UNet2DConditionModel, prompt: Tensor) -> Prompt:
    """What every cross-attention layer needs of a prompt (B, tokens, D).

    With a single token softmax is 1, so the layer's output is exactly ``to_out(to_v(prompt))`` whatever the queries.
    """
    single = prompt.shape[1] == 1
    made: Prompt = {}
    for path, layer in attention_layers(unet, "attn2"):
        values = layer.to_v(prompt)
        made[path] = layer.to_out[0](values) if single else (layer.to_k(prompt), values)
    return made
