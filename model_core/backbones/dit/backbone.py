"""The DiT family behind the protocol of base.py."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ...errors import InputError
from ...types import Baseline, Branch, LatentSpec, PredictionType, ReferenceInputs
from ..base import PortraitBackbone
from ..baseline import certain, needed_baseline
from ..redraw import Redraw
from .conditioning import DiTConditioning, DiTReference
from .config import DiTConfig
from .denoiser import Denoiser, HistoryState
from .positions import DRIVING, NOISY, REFERENCE

_TIMESTEPS = 1000.0  # of SD3's schedule: a timestep is sigma times that
_LEAST_SIGMA = 0.02
_SPREAD = 0.1
"""How far clean latents are from what predictions are relative to, as a standard deviation.

In most places of the carried portrait; elsewhere they are further off, but a larger number lets the sampler's own noise
through from one step to the next, and guidance multiplies it.
"""


class DiTBackbone(PortraitBackbone):
    """SD3's transformer over noisy, reference and driving tokens, with video attention.

    The four branches of signal fusion, for this family: UNCONDITIONAL has the noisy tokens alone, REFERENCE also
    those of the reference, DRIVING also those of the driving frames, FULL also the history frames. A group that
    a branch does not know is left out of its sequence, not zeroed: UNCONDITIONAL is the base model itself.

    Args:
        config: the networks' shape.
        encode: the autoencoder's (N, 3, H, W) in [-1, 1] to (N, C, h, w): driving frames are latents, too.
    """

    denoiser: Denoiser
    not_float8 = ("pos_embed", "time_text_embed", "context_embedder", "norm_out", "proj_out", "validity")

    def __init__(self, config: DiTConfig, encode: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.config = config
        self.encode = encode
        self.denoiser = Denoiser(config)
        self.redraw = (
            Redraw(fold=config.latent_stride, widths=config.redraw_widths, depth=config.redraw_depth)
            if config.redraw
            else None
        )

    @property
    def latent_spec(self) -> LatentSpec:
        config = self.config
        # three groups of tokens, each of which covers patch_size ** 2 positions
        return LatentSpec(config.in_channels, config.latent_stride, math.ceil(3 * config.width / config.patch_size**2))

    @property
    def prediction_type(self) -> PredictionType:
        return "flow"

    @property
    def dtype(self) -> torch.dtype:
        return self.denoiser.transformer.pos_embed.proj.weight.dtype

    @property
    def large_modules(self) -> list[nn.Module]:
        return [self.denoiser]

    @property
    def uses_baseline(self) -> bool:
        return self.config.baseline

    @property
    def temporal_modules(self) -> list[nn.Module]:
        return [self.denoiser.video_attention]

    def use_attention(self, kind: str) -> None:
        """This family attends by torch's fused kernels only, whose memory is bounded already."""
        if kind not in ("sdpa", "sliced"):
            raise InputError(f"attention {kind!r}: choose one of sdpa, sliced")

    def encode_reference(self, inputs: ReferenceInputs) -> DiTReference:
        """Embed the reference's tokens."""
        if not self.uses_baseline:
            return DiTReference(inputs.latents, self.denoiser.embed(inputs.latents, REFERENCE))
        still = certain(inputs.latents[:, None], self.config.latent_stride)
        return DiTReference(inputs.latents, self.denoiser.embed_baseline(still)[:, 0])

    def condition(
        self,
        reference: DiTReference,
        motion: Tensor,
        *,
        baseline: Baseline | None = None,
        history_latents: Tensor | None = None,
        history_motion: Tensor | None = None,
    ) -> DiTConditioning:
        """See ``PortraitBackbone``: encode the masked driving frames, and what the history has to say."""
        tokens, history = None, None
        carried = needed_baseline(baseline, uses=self.uses_baseline)
        if carried is not None:
            carried = carried.to(motion)
            if self.redraw is not None:
                carried = self.redraw(carried, motion)
            tokens = self.denoiser.embed_baseline(carried)
        count = 0 if history_latents is None else history_latents.shape[1]
        if count and history_latents is not None and history_motion is not None:
            history = self._remember(reference, history_latents, history_motion)
        return DiTConditioning(reference, self._driving_tokens(motion), history, count, carried, tokens)

    def predict_branch(
        self,
        latents: Tensor,
        timestep: Tensor,
        conditioning: DiTConditioning,
        branch: Branch,
        *,
        temporal: bool = True,
    ) -> Tensor:
        """One branch: (B, F, C, h, w) to (B, F, C, h, w).

        Args:
            temporal: False leaves video attention out (training stage 1).
        """
        timesteps = timestep.reshape(-1, 1).expand(latents.shape[:2]).to(latents.device)
        if not self.uses_baseline:
            return self._run(latents, timesteps, conditioning, branch, temporal)
        base = self._baseline(latents, conditioning, branch).float()
        sigma = (timesteps / _TIMESTEPS)[..., None, None, None].float()
        noisy = latents.float() - (1 - sigma) * base
        # of noisy = (1 - sigma) * difference + sigma * noise the best linear guess of the difference, and what is left
        variance = ((1 - sigma) * _SPREAD) ** 2 + sigma**2
        guess = noisy * ((1 - sigma) * _SPREAD**2 / variance)
        made = self._run((guess / _SPREAD).to(latents), timesteps, conditioning, branch, temporal)
        clean = base + guess + made.float() * (_SPREAD * sigma / variance.sqrt())
        return ((latents.float() - clean) / sigma.clamp(min=_LEAST_SIGMA)).to(latents.dtype)

    def _run(
        self, seen: Tensor, timesteps: Tensor, conditioning: DiTConditioning, branch: Branch, temporal: bool
    ) -> Tensor:
        """The network itself: (B, F, C, h, w) to (B, F, C, h, w), with timesteps (B, F)."""
        groups = [
            self.denoiser.embed(seen.flatten(0, 1), NOISY),
            *self._groups(conditioning, branch, seen.shape[1]),
        ]
        history = conditioning.history if branch is Branch.FULL else None
        size = (seen.shape[-2], seen.shape[-1])
        return self.denoiser(groups, timesteps, size=size, history=history, temporal=temporal).view_as(seen)

    def _groups(self, conditioning: DiTConditioning, branch: Branch, frames: int) -> list[Tensor]:
        """The condition groups of a branch, each (B * F, S, D)."""
        if branch is Branch.UNCONDITIONAL:
            return []
        if branch is Branch.REFERENCE or conditioning.baseline_tokens is None:
            reference = conditioning.reference.tokens.repeat_interleave(frames, 0)
        else:
            reference = conditioning.baseline_tokens.flatten(0, 1)
        return [reference] if branch is Branch.REFERENCE else [reference, conditioning.driving.flatten(0, 1)]

    def _remember(self, reference: DiTReference, latents: Tensor, motion: Tensor) -> HistoryState:
        """Run the finished frames once: timestep 0 says that there is nothing to denoise in them."""
        clean = latents.to(motion.dtype)
        batch, frames = clean.shape[:2]
        if self.uses_baseline:  # a finished frame is its own baseline
            still = self.denoiser.embed_baseline(certain(clean, self.config.latent_stride)).flatten(0, 1)
            clean = torch.zeros_like(clean)
        else:
            still = reference.tokens.repeat_interleave(frames, 0)
        noisy = self.denoiser.embed(clean.flatten(0, 1), NOISY)
        groups = [noisy, still, self._driving_tokens(motion).flatten(0, 1)]
        return self.denoiser.remember(groups, batch)

    def _driving_tokens(self, motion: Tensor) -> Tensor:
        """Masked frames (B, F, 3, H, W) in [0, 1] to tokens (B, F, S, D)."""
        with torch.no_grad():
            latents = self.encode(motion.flatten(0, 1) * 2 - 1)
        return self.denoiser.embed(latents, DRIVING).unflatten(0, motion.shape[:2])

    def _baseline(self, latents: Tensor, conditioning: DiTConditioning, branch: Branch) -> Tensor:
        """What the predictions of a branch are relative to, (B, F, C, h, w)."""
        if branch is Branch.UNCONDITIONAL:
            return torch.zeros_like(latents)
        if branch is Branch.REFERENCE:
            return conditioning.reference.latents[:, None].expand_as(latents)
        assert conditioning.baseline is not None
        return conditioning.baseline.latents
