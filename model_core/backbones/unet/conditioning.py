"""What the UNet family keeps of a reference and of a clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from ...types import Baseline
from ..baseline import pick_baseline
from ..frames import pick_frames
from .networks import Seen


@dataclass(frozen=True)
class Reference:
    """A reference, encoded once.

    Attributes:
        seen: what the denoiser's layers attend to: the prompt (the background's) and the reference.
        unseen: the same for the unconditional branch.
        latents: (B, C, h, w), the baseline of the branch that sees no motion.
    """

    seen: Seen
    unseen: Seen
    latents: Tensor


@dataclass(frozen=True)
class UNetConditioning:
    """The conditioning of one clip or window.

    Attributes:
        reference: shared by all windows.
        pose: (B, F, C0, h, w), the PoseGuider's output of every frame.
        history_latents: (B, N, C, h, w) clean, or None.
        history_pose: (B, N, C0, h, w), or None.
        baseline: latents (B, F, C, h, w) and validity (B, F, 1, H, W), for models that use it; else None.
    """

    reference: Reference
    pose: Tensor
    history_latents: Tensor | None = None
    history_pose: Tensor | None = None
    baseline: Baseline | None = None

    @property
    def num_history(self) -> int:
        return 0 if self.history_latents is None else self.history_latents.shape[1]

    def take(self, frames: Sequence[int]) -> UNetConditioning:
        """The frames of one window; history stays only with a window that begins at frame 0."""
        part = replace(self, pose=pick_frames(self.pose, frames), baseline=pick_baseline(self.baseline, frames))
        return part if frames[0] == 0 else replace(part, history_latents=None, history_pose=None)
