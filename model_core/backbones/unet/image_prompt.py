"""CLIP embeddings of the portrait's foreground and background, kept apart (VividPortraits)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD


class ImagePrompt(nn.Module):
    """The image encoder with its preprocessing; one prompt token per image.

    Args:
        config: keyword arguments of transformers' CLIPVisionConfig.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.encoder = CLIPVisionModelWithProjection(CLIPVisionConfig(**config))
        self.size = self.encoder.config.image_size
        self.register_buffer("mean", torch.tensor(OPENAI_CLIP_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(OPENAI_CLIP_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Embed images: (B, 3, H, W) in [-1, 1] to (B, 1, D). The aspect ratio is not kept, as in the peers."""
        size = (self.size, self.size)
        resized = F.interpolate(image, size, mode="bicubic", align_corners=False, antialias=True)
        pixels = ((resized.clamp(-1, 1) + 1) / 2 - self.mean) / self.std
        return self.encoder(pixels.to(image.dtype)).image_embeds[:, None]

    def separate(self, image: Tensor, foreground: Tensor | None) -> tuple[Tensor, Tensor]:
        """Prompts of foreground and background: ReferenceNet's and the denoiser's.

        Args:
            image: (B, 3, H, W) in [-1, 1].
            foreground: (B, 1, H, W) in [0, 1]; None gives both the whole image.
        Returns:
            two tensors (B, 1, D).
        """
        if foreground is None:
            prompt = self(image)
            return prompt, prompt
        parts = torch.cat([image * foreground, image * (1 - foreground)])  # 0 is mid grey
        person, scene = self(parts).chunk(2)
        return person, scene
