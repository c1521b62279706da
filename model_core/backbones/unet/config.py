"""The UNet family's architecture, from the bundled tiny model to full Stable Diffusion 1.5."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from ...bounds import Bounds, check_arguments, check_settings, listed
from ...config import Width
from ...errors import CheckpointError
from ...types import PredictionType
from ..redraw import WIDTHS

_LEVELS = Bounds(1, 8)
_TUPLES = ("block_out_channels", "down_attention", "up_attention", "pose_guider_channels", "redraw_widths")


def _clip_vit_l() -> dict[str, Any]:
    return {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "image_size": 224,
        "patch_size": 14,
        "projection_dim": 768,
        "hidden_act": "quick_gelu",
    }


@dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """Shape of denoiser, ReferenceNet, PoseGuider and image encoder. The defaults are SD1.5's.

    Attributes:
        latent_channels, latent_stride: of the autoencoder's latents.
        block_out_channels: width of every level, top first.
        layers_per_block: residual layers of a level on the way down (one more on the way up).
        down_attention: which levels attend on the way down, top first.
        up_attention: which levels attend on the way up, deepest first.
        attention_heads: heads of every attention layer (SD1.5's confusingly named ``attention_head_dim``).
        cross_attention_dim: width of the prompt tokens, the image encoder's ``projection_dim``.
        norm_num_groups: groups of every GroupNorm.
        pose_guider_channels: widths of the PoseGuider; one fewer halvings than widths,
            so ``2 ** (len - 1)`` has to equal ``latent_stride``.
        temporal: whether there are temporal layers.
        motion_heads, motion_max_length: of the temporal attention; windows plus history must fit the length.
        motion_norm_groups: groups of the temporal layers' GroupNorm; 0 takes ``norm_num_groups``.
        motion_mid_block: whether the deepest level has a temporal layer (AnimateDiff v2 has, v1 and v3 have not).
        joint_norm: the GroupNorms of residual layers run over all frames of a window jointly (AnimateDiff v1); a
            frame then depends on its window even where it does not move, so nothing else should use it.
        image_encoder: keyword arguments of transformers' CLIPVisionConfig.
        separate_foreground: ReferenceNet's prompt is CLIP(foreground), the denoiser's CLIP(background)
            (VividPortraits); False gives both the whole image, as the peers do.
        reference_pose: ReferenceNet also sees the reference's own motion signal through a PoseGuider of its
            own, which lets a narrow network find which part of the portrait belongs where.
        baseline: the denoiser's first convolution also sees the portrait carried to the frame by its mesh, and how
            much of each pixel that really shows. Predictions are relative to it (``sample`` only), and a fresh
            denoiser predicts exactly it. Ours, for narrow networks: they have little left to learn.
        redraw: the baseline is corrected after the motion signal, once per clip, before all else (ours, too).
        redraw_widths, redraw_depth: shape of the network that does so, see redraw.py.
        prediction_type: what the denoiser predicts.
        prompt_kind: "embedding", the image encoder's one projected token (VividPortraits, AnimateAnyone), or
            "tokens", all its last hidden states through a projection of each network's own (FollowYourEmoji).
        prompt_resize: how an image is brought to the image encoder's size. "stretch": by torch, antialiased;
            "pil_stretch" (AnimateAnyone) and "pil_crop" (FollowYourEmoji: the shortest side, then the centre): by
            PIL on 8 bits, which is what those models' weights were used with.
        pose_guiders: how many PoseGuiders are summed, each fed three channels of the motion signal.
        reference_blocks: which self-attention layers attend to the reference: "full" or "midup" (not on the way down).
        round_reference: ReferenceNet's tokens are rounded to float16, as AnimateAnyone's public code does whatever the
            dtype. It loses digits for nothing; on only to reproduce that code's results.
        unconditional_reference: what the branch without reference attends to: "none", its own tokens alone, or "zeros",
            the features of an all-zero latent (AnimateAnyone's face reenactment).
        unconditional_motion: whether the unconditional branch sees the motion signal, as all peers' guidance has it;
            then a guidance scale weighs the reference alone. In signal fusion it does not.
    """

    latent_channels: Width = 4
    latent_stride: Annotated[int, Bounds(1, 64)] = 8
    block_out_channels: Annotated[tuple[Width, ...], _LEVELS] = (320, 640, 1280, 1280)
    layers_per_block: Annotated[int, Bounds(1, 16)] = 2
    down_attention: Annotated[tuple[bool, ...], _LEVELS] = (True, True, True, False)
    up_attention: Annotated[tuple[bool, ...], _LEVELS] = (False, True, True, True)
    attention_heads: Width = 8
    cross_attention_dim: Width = 768
    norm_num_groups: Width = 32
    pose_guider_channels: Annotated[tuple[Width, ...], _LEVELS] = (16, 32, 96, 256)
    temporal: bool = True
    motion_heads: Width = 8
    motion_max_length: Annotated[int, Bounds(1, 4096)] = 32
    motion_norm_groups: Annotated[int, Bounds(0, 16384)] = 0
    motion_mid_block: bool = True
    joint_norm: bool = False
    image_encoder: dict[str, Any] = field(default_factory=_clip_vit_l)
    separate_foreground: bool = True
    reference_pose: bool = False
    baseline: bool = False
    redraw: bool = False
    redraw_widths: Annotated[tuple[Width, ...], Bounds(2, 8)] = WIDTHS
    redraw_depth: Annotated[int, Bounds(0, 16)] = 0
    prediction_type: PredictionType = "v_prediction"
    prompt_kind: Literal["embedding", "tokens"] = "embedding"
    prompt_resize: Literal["stretch", "pil_stretch", "pil_crop"] = "stretch"
    pose_guiders: Annotated[int, Bounds(1, 2)] = 1
    reference_blocks: Literal["full", "midup"] = "full"
    round_reference: bool = False
    unconditional_reference: Literal["none", "zeros"] = "none"
    unconditional_motion: bool = False

    def __post_init__(self) -> None:
        for name in _TUPLES:
            object.__setattr__(self, name, listed(getattr(self, name)))
        check_settings(self, what="UNet config: ", error=CheckpointError)
        check_arguments(self.image_encoder, what="UNet config: image_encoder.", error=CheckpointError)
        levels = len(self.block_out_channels)
        if len(self.down_attention) != levels or len(self.up_attention) != levels:
            raise CheckpointError(
                f"UNet config: {levels} levels need {levels} entries in down_attention and up_attention, "
                f"got {len(self.down_attention)} and {len(self.up_attention)}"
            )
        if 2 ** (len(self.pose_guider_channels) - 1) != self.latent_stride:
            raise CheckpointError(
                f"UNet config: a PoseGuider of widths {self.pose_guider_channels} shrinks by "
                f"{2 ** (len(self.pose_guider_channels) - 1)}, the latents by {self.latent_stride}"
            )
        if self.baseline and self.prediction_type != "sample":
            raise CheckpointError("UNet config: baseline needs prediction_type 'sample'")
        if self.redraw and not (self.baseline and self.latent_channels == 3 * self.latent_stride**2):
            raise CheckpointError(
                "UNet config: redraw needs baseline and latents of folded pixels: latent_channels of "
                "3 * latent_stride ** 2"
            )

    @property
    def frames_at_most(self) -> int | None:
        """Of a window with its history: as many as the position tables tell apart; None without temporal layers."""
        return self.motion_max_length if self.temporal else None

    @property
    def in_channels(self) -> int:
        """Of the denoiser's first convolution: noisy latents, and the baseline's latents and validity."""
        return self.latent_channels + (self.latent_channels + self.latent_stride**2 if self.baseline else 0)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def unet_kwargs(self) -> dict[str, Any]:
        """Keyword arguments of diffusers' UNet2DConditionModel, without the channels in and out."""
        down = ["CrossAttnDownBlock2D" if a else "DownBlock2D" for a in self.down_attention]
        up = ["CrossAttnUpBlock2D" if a else "UpBlock2D" for a in self.up_attention]
        return {
            "block_out_channels": self.block_out_channels,
            "layers_per_block": self.layers_per_block,
            "down_block_types": tuple(down),
            "up_block_types": tuple(up),
            "attention_head_dim": self.attention_heads,
            "cross_attention_dim": self.cross_attention_dim,
            "norm_num_groups": self.norm_num_groups,
        }
