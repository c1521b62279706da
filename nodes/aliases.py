"""Words under which a node is found besides its name, where the running ComfyUI can search for them."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from comfy_api.latest import io


def search_aliases(*words: str) -> dict[str, Any]:
    """Arguments for ``io.Schema``: none where this ComfyUI is too old to know them."""
    known = {field.name for field in fields(io.Schema)}
    return {"search_aliases": list(words)} if "search_aliases" in known else {}
