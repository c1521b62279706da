"""The contract between the sampling loop and any network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from torch import Tensor
from typing_extensions import Self

from ..types import Branch, HistoryFrames, LatentSpec, MotionSignal, PredictionType, ReferenceInputs


@dataclass(frozen=True)
class AnimationInputs:
    """All that conditions one clip (or one chunk of a long one).

    Attributes:
        reference: what ``Backbone.encode_reference`` returned.
        motion: the signal of every frame to make.
        history: finished frames just before the first one, or None.
    """

    reference: Any
    motion: MotionSignal
    history: HistoryFrames | None = None


class Conditioning(Protocol):
    """The state of one clip, returned by ``prepare`` and stored nowhere else."""

    @property
    def num_history(self) -> int:
        """How many history frames stand in front of the frames of this conditioning."""
        ...

    def take(self, frames: Sequence[int]) -> Self:
        """The conditioning of one window. History stays only where the window begins at frame 0: elsewhere
        the frames just before the window are being denoised themselves, and overlap carries the continuity."""
        ...


ConditioningT = TypeVar("ConditioningT", bound=Conditioning)


class Backbone(Protocol[ConditioningT]):
    """A denoiser with its conditioning networks."""

    @property
    def latent_spec(self) -> LatentSpec: ...

    @property
    def prediction_type(self) -> PredictionType: ...

    def encode_reference(self, inputs: ReferenceInputs) -> Any:
        """Run once per reference; the result is reused by every chunk, window, step, frame and branch."""
        ...

    def prepare(self, inputs: AnimationInputs) -> ConditioningT:
        """Run once per clip or chunk."""
        ...

    def predict(
        self,
        latents: Tensor,
        timestep: Tensor,
        conditioning: ConditioningT,
        branches: Sequence[Branch],
    ) -> Mapping[Branch, Tensor]:
        """Predict for one window.

        Args:
            latents: (1, F, C, h, w) noisy latents of the window's frames, scaled as the scheduler asks.
            timestep: scalar tensor, the scheduler's timestep.
            conditioning: of this window, from ``Conditioning.take``.
            branches: the branches to compute; no other is computed.
        Returns:
            per branch, (1, F, C, h, w) in the model's own ``prediction_type``.
        """
        ...
