"""Signal fusion: classifier-free guidance over four branches (Stable Video-Driven Portraits).

With the predictions u (unconditional), s (reference only), d (reference and driving) and p (everything,
with history), and the scales of identity, motion and continuity,

    out = u + identity * (s - u) + motion * (d - s) + continuity * (p - d)

which is one weighted sum of the four; a branch whose weight is zero is never computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from ..bounds import Share, check_settings
from ..config import SamplingConfig, Scale
from ..errors import InputError
from ..types import Branch


@dataclass(frozen=True)
class SignalFusion:
    """How strongly each signal counts. All scales 1 run one branch per window, without any guidance.

    Attributes:
        identity: lambda_s, of the reference.
        motion: lambda_d, of the driving signal.
        continuity: lambda_p, of the history frames.
        start, end: the part of the steps that is guided, 0 <= start <= end <= 1; outside it the most
            conditioned branch runs alone.
    Raises:
        InputError: if a value is out of range.
    Source: Stable Video-Driven Portraits, signal fusion; its authors use 2, 2.5 and 1.
    """

    identity: Scale = 1.0
    motion: Scale = 1.0
    continuity: Scale = 1.0
    start: Share = 0.0
    end: Share = 1.0

    def __post_init__(self) -> None:
        check_settings(self, what="guidance ")
        if self.start > self.end:
            raise InputError(
                f"guidance start {self.start}, end {self.end}: need 0 <= start <= end <= 1; 0 and 1 guide all steps"
            )

    @classmethod
    def of(cls, sampling: SamplingConfig) -> SignalFusion:
        """The scales that settings of sampling ask for."""
        return cls(
            identity=sampling.identity,
            motion=sampling.motion,
            continuity=sampling.continuity,
            start=sampling.guidance_start,
            end=sampling.guidance_end,
        )

    def coefficients(self, step: int, steps: int, *, has_history: bool) -> dict[Branch, float]:
        """The weight of each branch at a step; branches of weight zero are left out. They sum to 1.

        Args:
            step, steps: 0 <= step < steps.
            has_history: False where no history stands in front of the window; then FULL is DRIVING, and
                ``continuity`` has nothing to weigh.
        """
        if not self.start <= step / steps < self.end:
            return {Branch.FULL if has_history else Branch.DRIVING: 1.0}
        continuity = self.continuity if has_history else 0.0
        weights = {
            Branch.UNCONDITIONAL: 1 - self.identity,
            Branch.REFERENCE: self.identity - self.motion,
            Branch.DRIVING: self.motion - continuity,
            Branch.FULL: continuity,
        }
        return {branch: weight for branch, weight in weights.items() if weight != 0}


def combine(predictions: Mapping[Branch, Tensor], coefficients: Mapping[Branch, float]) -> Tensor:
    """The weighted sum of the branches, in float32 (their differences are small and get amplified).

    Args:
        predictions: per branch of ``coefficients``, tensors of one shape.
        coefficients: from ``SignalFusion.coefficients``; not empty.
    """
    (first, weight), *others = coefficients.items()
    total = predictions[first].float() * weight
    for branch, weight in others:
        total = total.add(predictions[branch].float(), alpha=weight)
    return total
