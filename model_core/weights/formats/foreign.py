"""Files of other families, told by their keys, so that the refusal can name them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from ..header import Header

Shapes = Mapping[str, tuple[int, ...]]
_SD15 = "this project's UNet family takes Stable Diffusion 1.5's"
_MOTION = "only AnimateDiff v1, v2, v3 and diffusers' MotionAdapter are known here"


def refusal(header: Header) -> str | None:
    """Why a file of another family cannot be used, or None."""
    for known, answer in _FAMILIES:
        if known(header.shapes):
            return answer
    return None


def _any(*parts: str) -> Callable[[Shapes], bool]:
    return lambda shapes: any(part in key for key in shapes for part in parts)


def _input_channels(shapes: Shapes) -> int:
    names = ("model.diffusion_model.input_blocks.0.0.weight", "conv_in.weight")
    is_unet = "time_embedding.linear_1.weight" in shapes or names[0] in shapes
    return next((shapes[name][1] for name in names if name in shapes and len(shapes[name]) == 4), 4) if is_unet else 4


def _prompt_width(shapes: Shapes) -> int:
    spatial = (key for key in shapes if key.endswith("attn2.to_k.weight") and "motion_modules." not in key)
    return next((shapes[key][-1] for key in spatial if len(shapes[key]) == 2), 0)


def _linear_projections(shapes: Shapes) -> bool:
    """SD2 and SDXL enter their spatial transformers by a matrix, SD1.5 by a convolution."""
    return any(
        re.search(r"(attentions|put_blocks)\.\d+\.(\d\.)?proj_in\.weight$", key) and len(shape) == 2
        for key, shape in shapes.items()
        if "motion_modules." not in key
    )


def _latent_channels(shapes: Shapes) -> int:
    keys = ("first_stage_model.decoder.conv_in.weight", "decoder.conv_in.weight")
    return next((shapes[key][1] for key in keys if key in shapes and len(shapes[key]) == 4), 4)


def _only_motion(shapes: Shapes) -> bool:
    return any("motion_modules." in key for key in shapes) and not any(".resnets." in key for key in shapes)


def _sdxl_motion(shapes: Shapes) -> bool:
    levels = {m[1] for key in shapes if (m := re.search(r"down_blocks\.(\d+)\.motion_modules", key))}
    return _only_motion(shapes) and levels == {"0", "1", "2"}


_FAMILIES: tuple[tuple[Callable[[Shapes], bool], str], ...] = (
    (_any("lora_up.", "lora_down.", "_lora.", "lora_A.", "lora_B.", ".lora.", "lora_unet"),
     "a LoRA: it changes a model and is none; merge it into its model first"),
    (_any("double_blocks.", "single_transformer_blocks."), f"a Flux model; {_SD15}"),
    (_any("joint_blocks.", "context_embedder.", "transformer_blocks.0.attn.add_k_proj"),
     "a Stable Diffusion 3 model: what the DiT family is trained from (`train`, base_from), no portrait model itself"),
    (_any("conditioner.embedders.", "label_emb.", "add_embedding."), f"a Stable Diffusion XL model; {_SD15}"),
    (_any("time_stack.", "temporal_transformer_blocks.", "time_mixer."), f"a Stable Video Diffusion model; {_SD15}"),
    (_any("control_model.", "input_hint_block.", "controlnet_cond_embedding.", "controlnet_down_blocks."),
     "a ControlNet: it steers a model and is none; a PoseGuider is something else"),
    (_any("image_proj.", "ip_adapter."), "an IP-Adapter: it steers a model and is none"),
    (_any("pos_encoder.positional_encoding"), f"a HotshotXL motion module (for SDXL); {_MOTION}"),
    (_sdxl_motion, f"a motion module for Stable Diffusion XL; {_MOTION}"),
    (lambda shapes: _only_motion(shapes) and "conv_in.weight" in shapes, f"a PIA motion module; {_MOTION}"),
    (lambda shapes: any("temporal_transformer." in key and "pos_embed" in key for key in shapes),
     f"a HelloMeme motion module; {_MOTION}"),
    (lambda shapes: _linear_projections(shapes) or _prompt_width(shapes) in (1024, 1280, 2048, 4096),
     f"a UNet of Stable Diffusion 2 or XL; {_SD15}"),
    (lambda shapes: _input_channels(shapes) == 9, "an inpainting model; the plain edition of it is what is needed"),
    (lambda shapes: _input_channels(shapes) == 8, "an image-editing model; the plain edition of it is what is needed"),
    (lambda shapes: _latent_channels(shapes) == 16, f"an autoencoder of Stable Diffusion 3 or Flux; {_SD15}"),
    (_any("visual.transformer.resblocks."),
     "a CLIP in OpenCLIP's names; take its transformers edition (vision_model.* keys)"),
)  # fmt: skip
