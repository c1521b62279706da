"""CLIP's view of the portrait's foreground and background, kept apart (VividPortraits)."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from .config import UNetConfig


class ImagePrompt(nn.Module):
    """The image encoder with its preprocessing; one prompt token per image, or all its last hidden states."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.encoder = CLIPVisionModelWithProjection(CLIPVisionConfig(**config.image_encoder))
        self.size = self.encoder.config.image_size
        self.kind = config.prompt_kind
        self.resize = config.prompt_resize
        self.register_buffer("mean", torch.tensor(OPENAI_CLIP_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(OPENAI_CLIP_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Prompt tokens of images: (B, 3, H, W) in [-1, 1] to (B, tokens, D)."""
        seen = self.encoder(self.pixels(image))
        # not normalised, and the states before the last layer norm: what the peers' weights were trained with
        return seen.image_embeds[:, None] if self.kind == "embedding" else seen.last_hidden_state

    def pixels(self, image: Tensor) -> Tensor:
        """What the encoder sees: (B, 3, H, W) in [-1, 1] to (B, 3, size, size), CLIP's own scale.

        Unless ``prompt_resize`` crops, the aspect ratio is not kept, as in the peers.
        """
        if self.resize == "stretch":
            size = (self.size, self.size)
            resized = F.interpolate(image.float(), size, mode="bicubic", align_corners=False, antialias=True)
            unit = (resized.clamp(-1, 1) + 1) / 2
        else:
            unit = torch.stack([self._by_pil(one) for one in image]).to(image.device)
        return ((unit - self.mean) / self.std).to(image.dtype)

    def _by_pil(self, image: Tensor) -> Tensor:
        """One image (3, H, W) through 8 bits and PIL's bicubic filter, (3, size, size) in [0, 1]."""
        values = ((image.float() + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0)
        picture = Image.fromarray(values.cpu().numpy())
        width, height = self.size, self.size
        if self.resize == "pil_crop":  # the shortest side fits; the longer one is cut off to whole pixels
            shortest = min(picture.size)
            width, height = (side * self.size // shortest for side in picture.size)
        picture = picture.resize((width, height), Image.Resampling.BICUBIC)
        left, top = (width - self.size) // 2, (height - self.size) // 2
        picture = picture.crop((left, top, left + self.size, top + self.size))
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1) / 255

    def separate(self, image: Tensor, foreground: Tensor | None) -> tuple[Tensor, Tensor]:
        """Prompts of foreground and background: ReferenceNet's and the denoiser's.

        Args:
            image: (B, 3, H, W) in [-1, 1].
            foreground: (B, 1, H, W) in [0, 1]; None gives both the whole image.
        Returns:
            two tensors (B, tokens, D).
        """
        if foreground is None:
            prompt = self(image)
            return prompt, prompt
        parts = torch.cat([image * foreground, image * (1 - foreground)])  # 0 is mid grey
        person, scene = self(parts).chunk(2)
        return person, scene
