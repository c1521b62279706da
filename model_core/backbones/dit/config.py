"""The DiT family's architecture, from the bundled tiny model to full Stable Diffusion 3.5 Medium."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from ...bounds import LAYERS, Bounds, check_settings, listed
from ...config import Width
from ...errors import CheckpointError
from ..redraw import WIDTHS

_OURS = (
    "latent_stride",
    "prompt_tokens",
    "video_attention_after",
    "video_attention",
    "baseline",
    "redraw",
    "redraw_widths",
    "redraw_depth",
    "conditions_beside",
    "trained_frames",
)
_Block = Annotated[int, Bounds(0, 255)]
_MOST_POSITIONS = 2**29  # numbers in the table of positions, which takes memory before any weight is read: 2 GB
_TUPLES = ("dual_attention_layers", "video_attention_after", "redraw_widths")


@dataclass(frozen=True, kw_only=True)
class DiTConfig:
    """Shape of the transformer and of what is new beside it. The defaults are SD3.5 Medium's.

    Attributes:
        sample_size ... qk_norm: diffusers' SD3Transformer2DModel's own, by its names.
        latent_stride: image pixels along each side of a latent position.
        prompt_tokens: tokens of the null prompt's embedding (SD3: 77 of CLIP and 256 of T5).
        video_attention_after: numbers of the blocks that full-video attention follows.
        video_attention: "full": a place attends to every place of every frame (Stable Video-Driven Portraits);
            "factorised": to its own place in every frame, the paper's ablation.
        baseline: the reference tokens show the portrait carried to the frame by its mesh, and how much of each pixel
            that really shows; relative to it are the noisy latents that the network sees and the clean ones that it
            predicts (ours, for narrow models: tokens of a few hundred numbers cannot carry a picture exactly, and a
            difference need not).
        redraw: the baseline is corrected after the driving frame, once per clip, before all else (ours, too).
        redraw_widths, redraw_depth: shape of the network that does so, see redraw.py.
        conditions_beside: a noisy token is also given, each through a matrix, the reference's and the driving token of
            its own place (ours, for narrow models: attention alone takes long to learn where that is).
        trained_frames: frames of the samples, history included, that video attention is trained on: numbers of frames
            beyond them mean nothing to it. 0 does not say.
    """

    sample_size: Annotated[int, Bounds(1, 4096)] = 128
    patch_size: Annotated[int, Bounds(1, 64)] = 2
    in_channels: Width = 16
    out_channels: Width = 16
    num_layers: Annotated[int, Bounds(1, 256)] = 24
    attention_head_dim: Width = 64
    num_attention_heads: Width = 24
    joint_attention_dim: Annotated[int, Bounds(1, 65536)] = 4096
    caption_projection_dim: Annotated[int, Bounds(1, 65536)] = 1536
    pooled_projection_dim: Annotated[int, Bounds(1, 65536)] = 2048
    pos_embed_max_size: Annotated[int, Bounds(1, 1024)] = 384
    dual_attention_layers: Annotated[tuple[_Block, ...], LAYERS] = tuple(range(13))
    qk_norm: str | None = "rms_norm"
    latent_stride: Annotated[int, Bounds(1, 64)] = 8
    prompt_tokens: Annotated[int, Bounds(0, 4096)] = 333
    video_attention_after: Annotated[tuple[_Block, ...], LAYERS] = (3, 7, 11, 15, 19, 23)
    video_attention: Literal["full", "factorised"] = "full"
    baseline: bool = False
    redraw: bool = False
    redraw_widths: Annotated[tuple[Width, ...], Bounds(2, 8)] = WIDTHS
    redraw_depth: Annotated[int, Bounds(0, 16)] = 0
    conditions_beside: bool = False
    trained_frames: Annotated[int, Bounds(0, 4096)] = 0

    def __post_init__(self) -> None:
        for name in _TUPLES:
            object.__setattr__(self, name, listed(getattr(self, name)))
        check_settings(self, what="DiT config: ", error=CheckpointError)
        if self.pos_embed_max_size**2 * self.width > _MOST_POSITIONS:
            raise CheckpointError(
                f"DiT config: pos_embed_max_size {self.pos_embed_max_size} with tokens of width {self.width}: a table "
                f"of more than {_MOST_POSITIONS} numbers; choose a smaller one"
            )
        if self.caption_projection_dim != self.width:
            raise CheckpointError(
                f"DiT config: prompt tokens of width {self.caption_projection_dim} cannot join image tokens of width "
                f"{self.width}; make caption_projection_dim equal to num_attention_heads * attention_head_dim"
            )
        if self.redraw and not (self.baseline and self.in_channels == 3 * self.latent_stride**2):
            raise CheckpointError(
                "DiT config: redraw needs baseline and latents of folded pixels: in_channels of 3 * latent_stride ** 2"
            )
        beyond = [k for k in self.video_attention_after if not 0 <= k < self.num_layers]
        if beyond:
            raise CheckpointError(f"DiT config: video_attention_after {beyond}: there are {self.num_layers} blocks")

    @property
    def frames_at_most(self) -> int | None:
        """Of a window with its history: as many as video attention is trained on; None where nobody says."""
        return self.trained_frames or None

    @property
    def width(self) -> int:
        """Channels of a token."""
        return self.num_attention_heads * self.attention_head_dim

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def transformer_kwargs(self) -> dict[str, Any]:
        """Keyword arguments of diffusers' SD3Transformer2DModel."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name not in _OURS}
