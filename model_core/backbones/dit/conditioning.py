"""What the DiT family keeps of a reference and of a clip.

What can be kept in a transformer whose groups attend jointly is little: reference and driving tokens see the noisy
ones in every block, so behind the first block they differ from step to step, and between branches too, as each
branch has its own groups. Kept are the tokens as they enter (patch embedding and position; for the driving frames
the autoencoder stands before it) and all that the history has to say: history frames see one another
and their own conditions only, at timestep zero, so their keys and values in every video attention layer are
computed once per chunk. The embedding of timestep and null prompt is the same for all frames and branches of a step;
it is made anew for each, a few rows beside thousands of tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from ...types import Baseline
from ..baseline import pick_baseline
from ..frames import pick_frames
from .denoiser import HistoryState


@dataclass(frozen=True)
class DiTReference:
    """A reference, encoded once.

    Attributes:
        latents: (B, C, h, w).
        tokens: (B, S, D), with their positions.
    """

    latents: Tensor
    tokens: Tensor


@dataclass(frozen=True)
class DiTConditioning:
    """The conditioning of one clip or window.

    Attributes:
        reference: shared by all windows.
        driving: (B, F, S, D), tokens of the masked driving frames with their positions.
        history: of the finished frames before the first one, or None.
        num_history: how many they are.
        baseline: latents (B, F, C, h, w), redrawn where the model does that, and validity (B, F, 1, H, W), for
            models that use it; else None.
        baseline_tokens: (B, F, S, D), its tokens.
    """

    reference: DiTReference
    driving: Tensor
    history: HistoryState | None = None
    num_history: int = 0
    baseline: Baseline | None = None
    baseline_tokens: Tensor | None = None

    def take(self, frames: Sequence[int]) -> DiTConditioning:
        """The frames of one window; history stays only with a window that begins at frame 0."""
        tokens = None if self.baseline_tokens is None else pick_frames(self.baseline_tokens, frames)
        part = replace(
            self,
            driving=pick_frames(self.driving, frames),
            baseline=pick_baseline(self.baseline, frames),
            baseline_tokens=tokens,
        )
        return part if frames[0] == 0 else replace(part, history=None, num_history=0)
