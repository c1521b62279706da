"""Stable Diffusion 3 and 3.5 as published: a diffusers folder, or one file under the original names.

Only the transformer and, where it is there, the autoencoder are read. Of a single file the text encoders are the
one deliberate drop: this family needs no prompt but the null one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import SD3Transformer2DModel
from diffusers.loaders.single_file_utils import (
    convert_ldm_vae_checkpoint,
    convert_sd3_transformer_checkpoint_to_diffusers,
)
from torch import Tensor

from ..backbones.dit.config import DiTConfig
from ..errors import CheckpointError, ModelNotFoundError
from .header import Header
from .io import read_safetensors

DROPPED = ("text_encoders.", "cond_stage_model.")
"""Prefixes of a single file that are left out."""
AUTOENCODER: Mapping[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 16,
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "norm_num_groups": 32,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
}
"""Keyword arguments of diffusers' AutoencoderKL; latents are ``(mean - 0.0609) * 1.5305``."""
_HEAD = 64  # every published size has heads this wide
_FIRST_LAYERS = ("pos_embed.proj.weight", "x_embedder.proj.weight")  # by diffusers' name and the original one
_TRANSFORMER, _AUTOENCODER = "model.diffusion_model.", "first_stage_model."


@dataclass(frozen=True)
class SD3Weights:
    """Tensors by diffusers' names.

    Attributes:
        transformer: of SD3Transformer2DModel.
        autoencoder: of AutoencoderKL; None where the file or folder has none.
    """

    transformer: dict[str, Tensor]
    autoencoder: dict[str, Tensor] | None


def read_sd3(path: Path) -> SD3Weights:
    """Read a published model.

    Args:
        path: a diffusers folder (with ``transformer/``, or the folder of the transformer itself), or a
            ``.safetensors`` file, either complete or of the transformer alone.
    Raises:
        ModelNotFoundError: nothing of the kind is there.
        CheckpointError: it is something else, or holds keys that belong to no part.
    """
    if path.is_dir():
        return _read_folder(path)
    if not path.is_file():
        raise ModelNotFoundError(
            f"{path}: is not there; give a diffusers folder or a .safetensors file of SD3 or SD3.5"
        )
    tensors, _ = read_safetensors(path)
    if _FIRST_LAYERS[0] in tensors:
        return SD3Weights(tensors, None)
    return _read_original(tensors, path)


def null_prompt(path: Path, transformer: SD3Transformer2DModel) -> tuple[Tensor, Tensor] | None:
    """Embeddings of the empty prompt, (1, tokens, D) and (1, P) float32, by the folder's own text encoders.

    Made once, when training starts, and stored in the model. Without T5 its tokens are zeros, as in diffusers.

    Args:
        path: as for ``read_sd3``.
        transformer: the base model that they are for.
    Returns:
        None where there are no text encoders, as in a single file.
    """
    if not (path / "text_encoder").is_dir():
        return None
    from diffusers import StableDiffusion3Pipeline  # it warns, when imported, of optional packages that are not there

    optional = ("text_encoder_3", "tokenizer_3", "image_encoder", "feature_extractor")
    left_out: dict[str, Any] = {name: None for name in optional if not (path / name).is_dir()}
    pipeline = StableDiffusion3Pipeline.from_pretrained(
        path,
        transformer=transformer,
        vae=None,
        local_files_only=True,
        use_safetensors=True,
        torch_dtype=torch.bfloat16,  # T5 takes 19 GB in float32
        **left_out,
    )
    with torch.no_grad():
        tokens, _, pooled, _ = pipeline.encode_prompt("", None, None, do_classifier_free_guidance=False)
    return tokens.float(), pooled.float()


def sd3_config(headers: Sequence[Header]) -> DiTConfig | None:
    """The portrait transformer that files of the base model grow into, by their headers alone; None if it is none."""
    shapes = {key: shape for header in headers for key, shape in header.shapes.items()}
    if not any(key.endswith(_FIRST_LAYERS) for key in shapes):
        return None
    tensors = {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}
    names = ", ".join(header.path.name for header in headers)
    try:
        known = _FIRST_LAYERS[0] in tensors
        transformer = tensors if known else _read_original(tensors, Path(names)).transformer
        return DiTConfig(**_own_layers(sd3_settings(transformer)))
    except (KeyError, IndexError) as error:
        raise CheckpointError(f"{names}: not the whole transformer of SD3 or SD3.5 ({error} is missing)") from error


def _own_layers(settings: dict[str, Any]) -> dict[str, Any]:
    """Full-video attention after every fourth block, as by default, however many blocks there are."""
    count = settings["num_layers"]
    return settings | {"video_attention_after": tuple(range(3, count, 4)) or (count - 1,)}


def sd3_settings(transformer: Mapping[str, Tensor]) -> dict[str, Any]:
    """The transformer's shape as the fields of ``DiTConfig``, judged by its tensors."""
    patches = transformer["pos_embed.proj.weight"]
    width, channels, patch = patches.shape[0], patches.shape[1], patches.shape[2]
    normed = transformer.get("transformer_blocks.0.attn.norm_q.weight")
    head = _HEAD if normed is None else normed.shape[0]
    blocks = {int(key.split(".")[1]) for key in transformer if key.startswith("transformer_blocks.")}
    dual = sorted(k for k in blocks if f"transformer_blocks.{k}.attn2.to_q.weight" in transformer)
    return {
        "patch_size": patch,
        "in_channels": channels,
        "out_channels": transformer["proj_out.weight"].shape[0] // patch**2,
        "num_layers": len(blocks),
        "attention_head_dim": head,
        "num_attention_heads": width // head,
        "joint_attention_dim": transformer["context_embedder.weight"].shape[1],
        "caption_projection_dim": transformer["context_embedder.weight"].shape[0],
        "pooled_projection_dim": transformer["time_text_embed.text_embedder.linear_1.weight"].shape[1],
        "pos_embed_max_size": math.isqrt(transformer["pos_embed.pos_embed"].shape[1]),
        "dual_attention_layers": tuple(dual),
        "qk_norm": None if normed is None else "rms_norm",
    }


def _read_folder(path: Path) -> SD3Weights:
    own = path / "transformer" if (path / "transformer").is_dir() else path
    transformer = _read_parts(own)
    if not transformer:
        raise ModelNotFoundError(
            f"{path}: holds no transformer (*.safetensors); give a diffusers folder of SD3 or SD3.5"
        )
    if _FIRST_LAYERS[0] not in transformer:
        raise CheckpointError(f"{own}: is no transformer of SD3 or SD3.5 (pos_embed.proj.weight is missing)")
    return SD3Weights(transformer, _read_parts(path / "vae") or None)


def _read_parts(folder: Path) -> dict[str, Tensor]:
    """The tensors of all shards; of several precisions of the same weights the plain one."""
    files = sorted(folder.glob("*.safetensors"))
    plain = [file for file in files if ".fp16" not in file.name]
    tensors: dict[str, Tensor] = {}
    for file in plain or files:
        tensors |= read_safetensors(file)[0]
    return tensors


def _read_original(tensors: dict[str, Tensor], path: Path) -> SD3Weights:
    """The original names; a file of the transformer alone may leave the prefix out."""
    whole = any(key.startswith(_TRANSFORMER) for key in tensors)
    transformer, autoencoder, foreign = {}, {}, []
    for key, tensor in tensors.items():
        if key.startswith(_AUTOENCODER):
            autoencoder[key] = tensor
        elif key.startswith(_TRANSFORMER) or not whole:
            transformer[key.removeprefix(_TRANSFORMER)] = tensor
        elif not key.startswith(DROPPED):
            foreign.append(key)
    try:
        made = convert_sd3_transformer_checkpoint_to_diffusers(transformer)
    except (KeyError, IndexError) as error:
        raise CheckpointError(
            f"{path}: is no transformer of SD3 or SD3.5 ({error} is missing); give the published file or folder"
        ) from error
    foreign += transformer  # the conversion takes out what it knows
    if foreign:
        raise CheckpointError(f"{path}: holds {len(foreign)} keys that belong to no part of SD3, such as {foreign[0]}")
    vae = convert_ldm_vae_checkpoint(autoencoder, dict(AUTOENCODER)) if autoencoder else None
    return SD3Weights(made, vae)
