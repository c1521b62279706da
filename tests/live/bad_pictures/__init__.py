"""A node for the live tests only: pictures that no node of ComfyUI makes, but some pack might."""

from __future__ import annotations

import torch
from torch import Tensor


class BadPicture:
    """Spoils an IMAGE."""

    CATEGORY = "testing"
    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "spoil"

    @classmethod
    def INPUT_TYPES(cls) -> dict:  # noqa: N802 - ComfyUI's name
        return {"required": {"image": ("IMAGE",), "how": (["nan", "infinite", "no frames"],)}}

    def spoil(self, image: Tensor, how: str) -> tuple[Tensor]:
        if how == "no frames":
            return (image[:0],)
        spoiled = image.clone()
        spoiled[0, 0, 0, 0] = torch.nan if how == "nan" else torch.inf
        return (spoiled,)


NODE_CLASS_MAPPINGS = {"BadPicture": BadPicture}
