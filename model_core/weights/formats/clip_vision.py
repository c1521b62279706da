"""CLIP image encoders in transformers' names: clip_vision files, transformers folders, sd-image-variations'."""

from __future__ import annotations

from math import isqrt
from typing import Any

from ..header import Header
from .piece import Piece, numbered

_MARK = "vision_model.embeddings.patch_embedding.weight"
_PROJECTION = "visual_projection.weight"
_TEXT_HALF = ("text_model.", "text_projection.", "logit_scale")
_HEAD_WIDTH = 64


def pieces(header: Header) -> list[Piece]:
    """The image encoder of a file, under any one prefix; none where there is none."""
    found = next((key for key in header.shapes if key.endswith(_MARK)), None)
    if found is None:
        return []
    prefix = found.removesuffix(_MARK)
    keys = {key.removeprefix(prefix): key for key in header.shapes if key.startswith(prefix)}
    names = {name: key for name, key in keys.items() if name.startswith("vision_model.") or name == _PROJECTION}
    # a table of 0, 1, 2, ... that older versions of transformers saved
    places = {name for name in names if name.endswith("position_ids")}
    ignored = tuple(key for name, key in keys.items() if name in places or name.startswith(_TEXT_HALF))
    names = {name: key for name, key in names.items() if name not in places}
    facts = _facts(header, names)
    title = f"CLIP image encoder, {facts['num_hidden_layers']} layers of width {facts['hidden_size']}"
    return [Piece("image_encoder", title, header, names, facts, ignored=ignored)]


def _facts(header: Header, names: dict[str, str]) -> dict[str, Any]:
    """Keyword arguments of transformers' CLIPVisionConfig; heads and activation are those of OpenAI's encoders."""
    shapes = {name: header.shapes[key] for name, key in names.items()}
    hidden, _, patch, _ = (*shapes[_MARK], 0, 0, 0)[:4]
    places = shapes.get("vision_model.embeddings.position_embedding.weight", (1,))[0]
    return {
        "hidden_size": hidden,
        "intermediate_size": shapes.get("vision_model.encoder.layers.0.mlp.fc1.weight", (0,))[0],
        "num_hidden_layers": numbered(names, "vision_model.encoder.layers.", ".mlp.fc1.weight"),
        "num_attention_heads": max(1, hidden // _HEAD_WIDTH),
        "image_size": patch * isqrt(max(places - 1, 0)),
        "patch_size": patch,
        "projection_dim": shapes.get(_PROJECTION, (hidden,))[0],
        "hidden_act": "quick_gelu",
    }
