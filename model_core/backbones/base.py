"""The contract between the sampling loop and any network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar

import torch
from torch import Tensor, nn
from typing_extensions import Self

from ..types import Baseline, Branch, HistoryFrames, LatentSpec, MotionSignal, PredictionType, ReferenceInputs


@dataclass(frozen=True)
class AnimationInputs:
    """All that conditions one clip (or one chunk of a long one).

    Attributes:
        reference: what ``Backbone.encode_reference`` returned.
        motion: the signal of every frame to make.
        history: finished frames just before the first one, or None.
        baseline: the portrait carried to every frame to make, for backbones that use it.
    """

    reference: Any
    motion: MotionSignal
    history: HistoryFrames | None = None
    baseline: Baseline | None = None


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


class PortraitBackbone(nn.Module, ABC):
    """A backbone as models and training hold it: the contract above, for batches of clips, and what is trained when.

    A family narrows the types of its own reference and conditioning.

    Attributes:
        denoiser: the network that runs at every step.
        not_float8: parts of the names of layers in ``large_modules`` that stay as they are where weights are stored
            in float8: those where coarse numbers show first, and those whose weights are used outside of their own
            forward. A small share of the weights.
    """

    denoiser: nn.Module
    not_float8: ClassVar[tuple[str, ...]]

    @property
    @abstractmethod
    def latent_spec(self) -> LatentSpec: ...

    @property
    @abstractmethod
    def prediction_type(self) -> PredictionType: ...

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """Of the arithmetic; weights may be stored in float8."""

    @property
    @abstractmethod
    def large_modules(self) -> list[nn.Module]:
        """What holds nearly all of the weights, and may be stored in float8."""

    @property
    @abstractmethod
    def uses_baseline(self) -> bool:
        """Whether predictions are relative to the carried portrait, so that ``condition`` needs one."""

    @property
    @abstractmethod
    def temporal_modules(self) -> list[nn.Module]:
        """What lets frames see each other; trained last, on clips (stage 2)."""

    @abstractmethod
    def use_attention(self, kind: str) -> None:
        """Choose how spatial attention is computed."""

    @abstractmethod
    def encode_reference(self, inputs: ReferenceInputs) -> Any:
        """See ``Backbone``."""

    def prepare(self, inputs: AnimationInputs) -> Any:
        """See ``Backbone``."""
        history, carried = inputs.history, inputs.baseline
        return self.condition(
            inputs.reference,
            inputs.motion.frames[None],
            baseline=None if carried is None else Baseline(carried.latents[None], carried.validity[None]),
            history_latents=None if history is None else history.latents[None],
            history_motion=None if history is None else history.motion[None],
        )

    @abstractmethod
    def condition(
        self,
        reference: Any,
        motion: Tensor,
        *,
        baseline: Baseline | None = None,
        history_latents: Tensor | None = None,
        history_motion: Tensor | None = None,
    ) -> Any:
        """``prepare`` for a batch of clips, as training needs it.

        Args:
            motion: (B, F, 3, H, W) in [0, 1].
            baseline: latents (B, F, C, h, w) and validity (B, F, 1, H, W); history frames are their own.
            history_latents: (B, N, C, h, w).
            history_motion: (B, N, 3, H, W).
        Raises:
            InputError: the backbone uses a baseline, and there is none.
        """

    def predict(
        self, latents: Tensor, timestep: Tensor, conditioning: Any, branches: Sequence[Branch]
    ) -> dict[Branch, Tensor]:
        """See ``Backbone``; also takes batches of clips, with ``timestep`` of shape () or (B,)."""
        return {branch: self.predict_branch(latents, timestep, conditioning, branch) for branch in branches}

    @abstractmethod
    def predict_branch(
        self, latents: Tensor, timestep: Tensor, conditioning: Any, branch: Branch, *, temporal: bool = True
    ) -> Tensor:
        """One branch: (B, F, C, h, w) to (B, F, C, h, w); ``temporal`` False leaves out what is (training stage 1)."""
