"""A peer's tiny checkpoint with its inputs and outputs, as ``../shared/golden`` holds them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from diffusers.image_processor import VaeImageProcessor
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from model_core.backbones.base import AnimationInputs
from model_core.backbones.unet.conditioning import Reference, UNetConditioning
from model_core.models import PortraitModel, load_files
from model_core.types import MotionSignal, ReferenceInputs

FOLDER = Path(__file__).parents[3] / "shared" / "golden"
SINGLE, LOOP = 2e-4, 1e-3


def golden_sets(peer: str) -> list[Path]:
    """The sets made by a peer's code."""
    found = [path.parent for path in sorted(FOLDER.glob("*/meta.json")) if json.loads(path.read_text())["peer"] == peer]
    return found or [FOLDER / "none"]


def assert_close(ours: Tensor, theirs: Tensor, tolerance: float = SINGLE) -> None:
    assert ours.shape == theirs.shape
    limit = tolerance * max(1.0, float(theirs.abs().max()))
    assert float((ours.float() - theirs).abs().max()) <= limit


@contextlib.contextmanager
def rows_first() -> Iterator[None]:
    """Resize as Pillow did before it chose the cheaper order of its two passes; the 8 bits between them show it."""
    plain = Image.Image.resize

    def resize(picture: Image.Image, size: tuple[int, int], resample: int | None = None, **_: Any) -> Image.Image:
        return plain(plain(picture, (size[0], picture.height), resample), tuple(size), resample)

    Image.Image.resize = resize
    try:
        yield
    finally:
        Image.Image.resize = plain


def made_rows_first(make: Callable[[], Tensor], expected: Tensor) -> bool:
    """Whether what is made of a picture comes closer to what is expected with Pillow's rows first."""
    present = make()
    with rows_first():
        before = make()
    return bool((before - expected).abs().max() < (present - expected).abs().max())


@dataclass
class GoldenSet:
    """One set.

    Attributes:
        folder: with ``meta.json`` and ``io.safetensors``.
        changes: settings of the model's backbone that differ from the preset's.
        preset: instead of the one that the files choose.
    """

    folder: Path
    changes: dict[str, Any] = field(default_factory=dict)
    preset: str | None = None

    @cached_property
    def meta(self) -> dict[str, Any]:
        return json.loads((self.folder / "meta.json").read_text())

    @cached_property
    def io(self) -> dict[str, Tensor]:
        return load_file(self.folder / "io.safetensors")

    @property
    def files(self) -> list[Path]:
        return [path for path in sorted(self.folder.glob("*.safetensors")) if path.name != "io.safetensors"]

    @property
    def overrides(self) -> dict[str, Any]:
        """What no key tells: heads and groups, from the set's own description."""
        meta, unet = self.meta, self.meta["unet"]
        motion = meta.get("denoising_extra", meta).get("motion_module_kwargs", {})
        backbone = {
            "attention_heads": unet["attention_head_dim"],
            "norm_num_groups": unet["norm_num_groups"],
            "motion_norm_groups": meta["motion_module_norm_num_groups"],
            "motion_heads": motion.get("num_attention_heads", 8),
            **self.changes,
        }
        encoder = meta.get("image_encoder", {})
        if encoder:
            backbone["image_encoder"] = {k: encoder[k] for k in ("num_attention_heads", "image_size", "hidden_act")}
        return {"backbone": backbone, "autoencoder": {"kl": {"norm_num_groups": meta["vae"]["norm_num_groups"]}}}

    @cached_property
    def model(self) -> PortraitModel:
        """The networks, through the public loader."""
        return load_files(self.files, overrides=self.overrides, preset=self.preset)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        height, width = self.io["pose_labels_u8"].shape[1:]
        return 2 * height, 2 * width

    @cached_property
    def picture(self) -> Tensor:
        """The reference as it was given, (1, 3, H, W) in [-1, 1], at its own size."""
        return self.io["ref_image_u8"].permute(2, 0, 1)[None].float() / 127.5 - 1

    def image(self) -> Tensor:
        """The reference at the networks' size, resized as the peers resize it."""
        picture = Image.fromarray(self.io["ref_image_u8"].numpy())
        return VaeImageProcessor(vae_scale_factor=8).preprocess(picture, *self.size)

    def latents(self) -> Tensor:
        """The same, encoded."""
        with torch.no_grad():
            return self.model.autoencoder.encode(self.image())

    def prompt_pixels(self) -> Tensor:
        """What the image encoder sees, every 16th pixel."""
        return self.model.backbone.image_prompt.pixels(self.picture)[:, :, ::16, ::16]

    def order(self, make: Callable[[], Tensor], key: str) -> contextlib.AbstractContextManager[None]:
        """The order of Pillow's passes in which the set's maker made something: ours, or rows first. Both are right."""
        return rows_first() if made_rows_first(make, self.io[key]) else contextlib.nullcontext()

    def prompt_order(self) -> contextlib.AbstractContextManager[None]:
        return self.order(self.prompt_pixels, "clip_pixel_values_sub16")

    @cached_property
    def motion(self) -> Tensor:
        """The driving pictures, (F, 3, H, W) in [0, 1]."""
        labels = self.io["pose_labels_u8"].long().repeat_interleave(2, 1).repeat_interleave(2, 2)
        return self.io["pose_palette_u8"][labels].permute(0, 3, 1, 2).float() / 255

    @cached_property
    def reference(self) -> Reference:
        with torch.no_grad(), self.prompt_order():
            return self.model.backbone.encode_reference(ReferenceInputs(self.picture, self.io["ref_latents"]))

    def conditioning(self, frames: int) -> UNetConditioning:
        with torch.no_grad():
            signal = MotionSignal(self.model.config.motion_kind, self.motion[:frames])
            return self.model.backbone.prepare(AnimationInputs(self.reference, signal))
