"""The UNet family behind the protocol of base.py."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers.models.controlnets.controlnet import ControlNetConditioningEmbedding
from torch import Tensor, nn

from ...errors import InputError
from ...types import Baseline, Branch, LatentSpec, PredictionType, ReferenceInputs
from ..base import PortraitBackbone
from ..baseline import certain, needed_baseline, unknown, validity_channels
from ..redraw import Redraw
from .attention import ATTENTIONS, Attend, sdpa
from .conditioning import Reference, UNetConditioning
from .config import UNetConfig
from .image_prompt import ImagePrompt
from .networks import Denoiser, ReferenceNet, Seen

_TOGETHER = 2**15  # positions of a window's frames up to which branches share a batch: 8 frames of 512 x 512


def _pose_guider(config: UNetConfig) -> ControlNetConditioningEmbedding:
    """AnimateAnyone's PoseGuider is ControlNet's conditioning embedding: small, and zero at its last layer."""
    return ControlNetConditioningEmbedding(
        conditioning_embedding_channels=config.block_out_channels[0],
        block_out_channels=config.pose_guider_channels,
    )


class UNetBackbone(PortraitBackbone):
    """Denoiser, ReferenceNet, PoseGuider and image encoder of VividPortraits.

    The four branches of signal fusion, for this family: UNCONDITIONAL sees neither reference nor motion,
    REFERENCE the portrait alone, DRIVING also the motion signal, FULL also the history frames.
    """

    denoiser: Denoiser
    not_float8 = (
        *("norm", "embedding", "conv_in", "conv_out", "time_emb_proj", "_projection"),
        *("proj_in", "proj_out", "upsamplers"),
    )

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        self.denoiser = Denoiser(config)
        self.reference_net = ReferenceNet(config)
        self.pose_guider = _pose_guider(config)
        self.pose_guider_2 = _pose_guider(config) if config.pose_guiders == 2 else None
        self.reference_guider = _pose_guider(config) if config.reference_pose else None
        self.redraw = (
            Redraw(fold=config.latent_stride, widths=config.redraw_widths, depth=config.redraw_depth)
            if config.redraw
            else None
        )
        self.image_prompt = ImagePrompt(config)
        self.attend: Attend = sdpa

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
        self.attend = ATTENTIONS[kind]

    def encode_reference(self, inputs: ReferenceInputs) -> Reference:
        """Run ReferenceNet once and project its tokens to the denoiser's keys and values."""
        foreground = inputs.foreground if self.config.separate_foreground else None
        person, scene = self.image_prompt.separate(inputs.image, foreground)
        pose = None
        if self.reference_guider is not None:
            if inputs.motion is None:
                raise InputError("reference: this model needs the portrait's own motion signal; analyse its face")
            pose = self.reference_guider(inputs.motion)
        seen = self._seen(inputs.latents, person, scene, pose)
        return Reference(seen, self._unseen(inputs.latents, scene), inputs.latents)

    def _seen(self, latents: Tensor, person: Tensor, scene: Tensor, pose: Tensor | None = None) -> Seen:
        bank = self.reference_net(latents, prompt=person, pose=pose, attend=self.attend)
        return Seen(self.denoiser.project_prompt(scene), self.denoiser.project_reference(bank), self.attend)

    def _unseen(self, latents: Tensor, scene: Tensor) -> Seen:
        """What the branch without reference attends to."""
        nothing = torch.zeros_like(scene)
        if self.config.unconditional_reference == "zeros":
            return self._seen(torch.zeros_like(latents), nothing, nothing)
        return Seen(self.denoiser.project_prompt(nothing), attend=self.attend)

    @property
    def dtype(self) -> torch.dtype:
        return self.denoiser.unet.conv_in.weight.dtype

    @property
    def large_modules(self) -> list[nn.Module]:
        return [self.denoiser, self.reference_net, self.image_prompt]

    @property
    def uses_baseline(self) -> bool:
        return self.config.baseline

    @property
    def temporal_modules(self) -> list[nn.Module]:
        return [] if self.denoiser.motion is None else [self.denoiser.motion]

    def condition(
        self,
        reference: Reference,
        motion: Tensor,
        *,
        baseline: Baseline | None = None,
        history_latents: Tensor | None = None,
        history_motion: Tensor | None = None,
    ) -> UNetConditioning:
        """See ``PortraitBackbone``: encode the motion signal."""
        carried = needed_baseline(baseline, uses=self.uses_baseline)
        if carried is not None and self.redraw is not None:
            carried = self.redraw(carried.to(motion), motion[:, :, :3])
        history_pose = None if history_motion is None else self._pose(history_motion)
        return UNetConditioning(reference, self._pose(motion), history_latents, history_pose, carried)

    def _pose(self, motion: Tensor) -> Tensor:
        """(B, F, 3 * guiders, H, W) to (B, F, C0, h, w)."""
        flat = motion.flatten(0, 1)
        if flat.shape[1] != 3 * self.config.pose_guiders:
            raise InputError(
                f"motion: pictures of {flat.shape[1]} channels, this model takes {3 * self.config.pose_guiders}; "
                "make the motion signal with the node, or the style, that belongs to the model"
            )
        pose = self.pose_guider(flat[:, :3])
        if self.pose_guider_2 is not None:
            pose = pose + self.pose_guider_2(flat[:, 3:])
        return pose.unflatten(0, motion.shape[:2])

    def predict(
        self,
        latents: Tensor,
        timestep: Tensor,
        conditioning: UNetConditioning,
        branches: Sequence[Branch],
    ) -> dict[Branch, Tensor]:
        """See ``Backbone.predict``; also takes batches of clips, with ``timestep`` of shape () or (B,)."""
        alike: dict[tuple[bool, ...], list[Branch]] = {}
        for branch in branches:
            alone = self.uses_baseline and branch is Branch.UNCONDITIONAL
            alike.setdefault((self._sees_motion(branch), branch is Branch.FULL, alone), []).append(branch)
        made: dict[Branch, Tensor] = {}
        for group in alike.values():
            made.update(self._predict_alike(latents, timestep, conditioning, group))
        return {branch: made[branch] for branch in branches}

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
        return self._predict_alike(latents, timestep, conditioning, [branch], temporal=temporal)[branch]

    def _sees_motion(self, branch: Branch) -> bool:
        if branch is Branch.UNCONDITIONAL:
            return self.config.unconditional_motion
        return branch is not Branch.REFERENCE

    def _predict_alike(
        self,
        latents: Tensor,
        timestep: Tensor,
        conditioning: UNetConditioning,
        branches: list[Branch],
        *,
        temporal: bool = True,
    ) -> dict[Branch, Tensor]:
        """Branches that see the same frames and motion; they differ in reference and prompt only."""
        first = branches[0]
        pose = conditioning.pose if self._sees_motion(first) else None
        timesteps = timestep.reshape(-1, 1).expand(latents.shape[0], latents.shape[1])
        baseline = self._baseline(latents, conditioning, first)
        noisy = latents if baseline is None else self._beside(latents, baseline)
        history = conditioning.num_history if first is Branch.FULL else 0
        if history:
            noisy, timesteps, pose = self._with_history(noisy, timesteps, conditioning)
        frames = noisy.shape[1]
        self._check_length(frames, temporal)
        stem = self.denoiser.stem(noisy, timesteps, pose)
        reference = conditioning.reference
        seen = [reference.unseen if branch is Branch.UNCONDITIONAL else reference.seen for branch in branches]
        # together while one branch alone leaves the device idle; one by one where memory is what counts
        together = noisy[0, :, 0].numel() <= _TOGETHER
        parts = [seen] if together else [[one] for one in seen]
        made = [
            out[:, history:] for part in parts for out in self.denoiser(stem, part, frames=frames, temporal=temporal)
        ]
        if baseline is not None:
            made = [out + baseline.latents for out in made]
        return dict(zip(branches, made, strict=True))

    def _baseline(self, latents: Tensor, conditioning: UNetConditioning, branch: Branch) -> Baseline | None:
        """What the predictions of a branch are relative to, for latents (B, F, C, h, w)."""
        if not self.uses_baseline:
            return None
        if branch is Branch.UNCONDITIONAL:
            return unknown(latents, self.config.latent_stride)
        if branch is Branch.REFERENCE:
            still = conditioning.reference.latents[:, None].expand_as(latents)
            return certain(still, self.config.latent_stride)
        return conditioning.baseline

    def _beside(self, latents: Tensor, baseline: Baseline) -> Tensor:
        """What the first convolution sees: noisy latents, and the baseline's latents and validity."""
        validity = validity_channels(baseline.validity.to(latents), self.config.latent_stride)
        return torch.cat([latents, baseline.latents.to(latents), validity], dim=2)

    def _with_history(
        self, seen: Tensor, timesteps: Tensor, conditioning: UNetConditioning
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Clean frames join in front: timestep 0 says that there is nothing to denoise in them."""
        clean, clean_pose = conditioning.history_latents, conditioning.history_pose
        assert clean is not None and clean_pose is not None
        clean = clean.to(seen)
        if self.uses_baseline:  # a finished frame is its own baseline
            clean = self._beside(clean, certain(clean, self.config.latent_stride))
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
