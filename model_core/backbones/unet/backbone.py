"""The UNet family behind the protocol of base.py."""

from __future__ import annotations

import torch
from diffusers.models.controlnets.controlnet import ControlNetConditioningEmbedding
from torch import Tensor, nn

from ...errors import InputError
from ...types import Branch, LatentSpec, PredictionType, ReferenceInputs
from ..base import AnimationInputs, PortraitBackbone
from ..warp import Moved, ReferenceWarp, WarpSource
from .attention import ATTENTIONS, install_processors
from .conditioning import Reference, UNetConditioning
from .config import UNetConfig
from .image_prompt import ImagePrompt
from .networks import Denoiser, ReferenceNet


def _pose_guider(config: UNetConfig) -> ControlNetConditioningEmbedding:
    """AnimateAnyone's PoseGuider is ControlNet's conditioning embedding: small, and zero at its last layer."""
    return ControlNetConditioningEmbedding(
        conditioning_embedding_channels=config.block_out_channels[0],
        block_out_channels=config.pose_guider_channels,
    )


def _reference_warp(config: UNetConfig) -> ReferenceWarp:
    return ReferenceWarp(fold=config.latent_fold, stride=config.latent_stride)


class UNetBackbone(PortraitBackbone):
    """Denoiser, ReferenceNet, PoseGuider and image encoder of VividPortraits.

    The four branches of signal fusion, for this family: UNCONDITIONAL sees neither reference nor motion,
    REFERENCE the portrait alone, DRIVING also the motion signal, FULL also the history frames.
    """

    denoiser: Denoiser

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        self.denoiser = Denoiser(config)
        self.reference_net = ReferenceNet(config)
        self.pose_guider = _pose_guider(config)
        self.reference_guider = _pose_guider(config) if config.reference_pose else None
        self.reference_warp = _reference_warp(config) if config.reference_warp else None
        self.image_prompt = ImagePrompt(config.image_encoder)

    @property
    def latent_spec(self) -> LatentSpec:
        return LatentSpec(self.config.latent_channels, self.config.latent_stride, self.config.block_out_channels[0])

    @property
    def prediction_type(self) -> PredictionType:
        return self.config.prediction_type

    def use_attention(self, kind: str) -> None:
        """Choose how spatial attention is computed: "sdpa" (torch's fused kernels) or "sliced" (bounded memory)."""
        if kind not in ATTENTIONS:
            raise InputError(f"attention {kind!r}: choose one of {', '.join(ATTENTIONS)}")
        for unet in (self.denoiser.unet, self.reference_net.unet):
            install_processors(unet, ATTENTIONS[kind])

    def encode_reference(self, inputs: ReferenceInputs) -> Reference:
        """Run ReferenceNet once and project its tokens to the denoiser's keys and values."""
        foreground = inputs.foreground if self.config.separate_foreground else None
        person, scene = self.image_prompt.separate(inputs.image, foreground)
        pose, source = None, None
        if self.reference_guider is not None:
            if inputs.motion is None:
                raise InputError("reference: this model needs the portrait's own motion signal; analyse its face")
            pose = self.reference_guider(inputs.motion)
            if self.reference_warp is not None:
                source = self.reference_warp.source(inputs, inputs.motion)
        bank = self.reference_net(inputs.latents, prompt=person, pose=pose)
        return Reference(self.denoiser.keys_and_values(bank), scene, inputs.latents, source)

    @property
    def warp_modules(self) -> list[nn.Module]:
        return [] if self.reference_warp is None else [self.reference_warp]

    @property
    def temporal_modules(self) -> list[nn.Module]:
        return [] if self.denoiser.motion is None else [self.denoiser.motion]

    def move_reference(self, inputs: ReferenceInputs, motion: Tensor) -> Moved:
        assert self.reference_warp is not None and inputs.motion is not None
        return self._move(inputs.latents, self.reference_warp.source(inputs, inputs.motion), motion)

    def _move(self, latents: Tensor, source: WarpSource, motion: Tensor) -> Moved:
        assert self.reference_warp is not None
        flow = self.reference_warp(source, motion)
        return Moved(self.reference_warp.move(latents, source, flow), flow)

    def prepare(self, inputs: AnimationInputs) -> UNetConditioning:
        """Encode the motion signal of one clip or chunk."""
        history = inputs.history
        return self.condition(
            inputs.reference,
            inputs.motion.frames[None],
            history_latents=None if history is None else history.latents[None],
            history_motion=None if history is None else history.motion[None],
        )

    def condition(
        self,
        reference: Reference,
        motion: Tensor,
        *,
        history_latents: Tensor | None = None,
        history_motion: Tensor | None = None,
    ) -> UNetConditioning:
        """The same for a batch of clips, as training needs it.

        Args:
            motion: (B, F, 3, H, W) in [0, 1].
            history_latents: (B, N, C, h, w).
            history_motion: (B, N, 3, H, W).
        """
        moved = None
        if reference.warp_source is not None:
            moved = self._move(reference.latents, reference.warp_source, motion)
        history_pose = None if history_motion is None else self._pose(history_motion)
        return UNetConditioning(reference, self._pose(motion), history_latents, history_pose, moved)

    def _pose(self, motion: Tensor) -> Tensor:
        return self.pose_guider(motion.flatten(0, 1)).unflatten(0, motion.shape[:2])

    def predict_branch(
        self,
        latents: Tensor,
        timestep: Tensor,
        conditioning: UNetConditioning,
        branch: Branch,
        *,
        temporal: bool = True,
    ) -> Tensor:
        """One branch: (B, F, C, h, w) to (B, F, C, h, w).

        Args:
            temporal: False leaves the temporal layers out (training stage 1).
        """
        reference = None if branch is Branch.UNCONDITIONAL else conditioning.reference
        pose = conditioning.pose if branch in (Branch.DRIVING, Branch.FULL) else None
        prompt = conditioning.reference.prompt
        if reference is None:
            prompt = torch.zeros_like(prompt)
        timesteps = timestep.reshape(-1, 1).expand(latents.shape[0], latents.shape[1])
        beside = self._beside(latents, conditioning, branch)
        seen = latents if beside is None else torch.cat([latents, beside], dim=2)
        history = conditioning.num_history if branch is Branch.FULL else 0
        if history:
            seen, timesteps, pose = self._with_history(seen, timesteps, conditioning)
        self._check_length(seen.shape[1], temporal)
        out = self.denoiser(
            seen,
            timesteps,
            prompt=prompt,
            pose=pose,
            reference=None if reference is None else reference.keys_and_values,
            temporal=temporal,
        )[:, history:]
        return out if beside is None else out + beside

    def _beside(self, latents: Tensor, conditioning: UNetConditioning, branch: Branch) -> Tensor | None:
        """What the first convolution sees beside the noisy latents, and predictions are relative to."""
        if not self.config.reference_concat:
            return None
        if branch is Branch.UNCONDITIONAL:
            return torch.zeros_like(latents)
        if conditioning.moved is not None and branch is not Branch.REFERENCE:
            return conditioning.moved.latents
        return conditioning.reference.latents[:, None].expand_as(latents)

    def _with_history(
        self, seen: Tensor, timesteps: Tensor, conditioning: UNetConditioning
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Clean frames join in front: timestep 0 says that there is nothing to denoise in them."""
        clean, clean_pose = conditioning.history_latents, conditioning.history_pose
        assert clean is not None and clean_pose is not None
        clean = clean.to(seen)
        if self.config.reference_concat:
            clean = torch.cat([clean, clean], dim=2)  # a finished frame is its own best guess
        zeros = torch.zeros_like(timesteps[:, :1]).expand(-1, clean.shape[1])
        return (
            torch.cat([clean, seen], dim=1),
            torch.cat([zeros, timesteps], dim=1),
            torch.cat([clean_pose, conditioning.pose], dim=1),
        )

    def _check_length(self, frames: int, temporal: bool) -> None:
        limit = self.config.motion_max_length
        if self.config.temporal and temporal and frames > limit:
            raise InputError(
                f"window: {frames} frames (history included) are more than this model's {limit}; "
                "choose a shorter window or fewer history frames"
            )
