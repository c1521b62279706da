"""What the UNet family keeps of a reference and of a clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from ..frames import pick_frames
from ..warp import Moved, WarpSource
from .networks import Seen


@dataclass(frozen=True)
class Reference:
    """A reference, encoded once.

    Attributes:
        seen: what the denoiser's layers attend to: the prompt (the background's) and the reference.
        unseen: the same for the unconditional branch.
        latents: (B, C, h, w), for models whose first convolution sees them.
        warp_source: for models that warp the reference; else None.
    """

    seen: Seen
    unseen: Seen
    latents: Tensor
    warp_source: WarpSource | None = None


@dataclass(frozen=True)
class UNetConditioning:
    """The conditioning of one clip or window.

    Attributes:
        reference: shared by all windows.
        pose: (B, F, C0, h, w), the PoseGuider's output of every frame.
        history_latents: (B, N, C, h, w) clean, or None.
        history_pose: (B, N, C0, h, w), or None.
        moved: the reference moved to every frame, or None.
    """

    reference: Reference
    pose: Tensor
    history_latents: Tensor | None = None
    history_pose: Tensor | None = None
    moved: Moved | None = None

    @property
    def num_history(self) -> int:
        return 0 if self.history_latents is None else self.history_latents.shape[1]

    def take(self, frames: Sequence[int]) -> UNetConditioning:
        """The frames of one window; history stays only with a window that begins at frame 0."""
        moved = None if self.moved is None else self.moved.take(frames)
        part = replace(self, pose=pick_frames(self.pose, frames), moved=moved)
        return part if frames[0] == 0 else replace(part, history_latents=None, history_pose=None)
