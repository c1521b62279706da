"""Windows, signal fusion and history inside ComfyUI's own samplers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import latent_preview
import torch
from comfy.samplers import CFGGuider, cfg_function
from comfy.utils import ProgressBar
from torch import Tensor

from ..sockets import HostedModel
from .memory import load_whole, log_estimate, to_compute
from .progress import check_cancel, preview_of

if TYPE_CHECKING:
    from ...model_core.backbones.base import Conditioning
    from ...model_core.config import SamplingConfig
    from ...model_core.pipeline import PortraitReference
    from ...model_core.sampling.denoise import PredictWindow
    from ...model_core.sampling.guidance import SignalFusion
    from ...model_core.sampling.windows import Windows
    from ...model_core.types import Baseline, Branch, HistoryFrames, MotionSignal

_CARRIED_AT_ONCE = 8
_SAME = 1e-5  # noise levels this close, relatively, are the same step
_LEFT_AFTER_AN_ERROR = ("conds", "inner_model", "loaded_models")

_log = logging.getLogger(__name__)


@dataclass
class _Run:
    """What one run of a sampler keeps from call to call."""

    conditioning: Conditioning
    bar: Any
    shows_previews: bool
    shown: float = 0.0
    last_step: int = -1


class PortraitGuider(CFGGuider):
    """Drives a portrait model from any of ComfyUI's samplers: frames are the batch, one clip is one run.

    Args:
        hosted: the model.
        reference: the encoded portrait.
        motion: the signal of every frame.
        windows, guidance: as the project's own loop takes them.
        settings: what the log's estimate is made from.
        history: makes the finished frames in front of the first one, once the model is loaded; or None.
    """

    def __init__(
        self,
        hosted: HostedModel,
        reference: PortraitReference,
        motion: MotionSignal,
        *,
        windows: Windows,
        guidance: SignalFusion,
        settings: SamplingConfig,
        history: Any = None,
    ) -> None:
        super().__init__(hosted.patcher)
        self._hosted = hosted
        self._reference = reference
        self._motion = motion
        self._windows = windows
        self._guidance = guidance
        self._settings = settings
        self._history = history
        self._run: _Run | None = None

    def sample(self, noise: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """As every guider's; whatever happens, nothing of the run is kept."""
        if len(noise) != len(self._motion):
            from ...model_core.errors import InputError

            raise InputError(
                f"latent_image: {len(noise)} frames, the guider's motion has {len(self._motion)}; connect the "
                "latents of Portrait Guider"
            )
        try:
            return super().sample(noise, *args, **kwargs)
        finally:
            self._run = None
            for name in _LEFT_AFTER_AN_ERROR:
                self.__dict__.pop(name, None)

    def predict_noise(
        self, x: Tensor, timestep: Tensor, model_options: dict[str, Any] | None = None, seed: int | None = None
    ) -> Tensor:
        """The clean frames that all windows and branches together stand for.

        Args:
            x: (F, C, h, w), the whole clip, noisy.
            timestep: (F,), its noise level, sigma.
        """
        from ...model_core.sampling.denoise import predict_clip
        from ...model_core.sampling.stages import result_of

        options = model_options or {}
        sigmas = options["transformer_options"]["sample_sigmas"]
        step, steps = self._position(timestep, sigmas), len(sigmas) - 1
        run = self._run = self._run or self._start(steps)
        parts = self._windows.windows(step, len(x))
        work = predict_clip(
            self._network(timestep, options),
            x[None],
            run.conditioning,
            windows=parts,
            guidance=self._guidance,
            step=step,
            steps=steps,
        )
        made = result_of(work, lambda done: self._show(run, step + done / len(parts), steps))
        if run.shows_previews and step != run.last_step:
            run.bar.update_absolute(run.shown, steps, preview_of(self._hosted.model, made.fused))
        run.last_step = step
        # of scale 1, since the fusion is done; the samplers whose names end in cfg_pp read the unguided frames here
        fused, unguided = made.fused[0], made.unguided[0]
        return cfg_function(self.inner_model, fused, unguided, 1.0, x, timestep, model_options=options)

    def _network(self, timestep: Tensor, options: dict[str, Any]) -> PredictWindow[Conditioning]:
        """ComfyUI's model at one noise level, the same for all frames: the clean frames of each branch of a window."""

        def predict(noisy: Tensor, conditioning: Conditioning, branches: Sequence[Branch]) -> dict[Branch, Tensor]:
            predictions = {}
            for branch in branches:
                check_cancel()
                predictions[branch] = self.inner_model.apply_model(
                    noisy[0],
                    timestep[: noisy.shape[1]],
                    transformer_options=options["transformer_options"],
                    conditioning=conditioning,
                    branch=branch,
                )[None]
            return predictions

        return predict

    def _start(self, steps: int) -> _Run:
        """Prepare the clip's conditioning; the model has just been loaded."""
        from dataclasses import replace

        from ...model_core.backbones.base import AnimationInputs

        load_whole(self.model_patcher)
        history: HistoryFrames | None = None if self._history is None else self._history()
        count = 0 if history is None else len(history)
        settings = replace(self._settings, steps=steps, chunk=len(self._motion))
        log_estimate(self._hosted, settings, frames=len(self._motion), history=count)
        motion = to_compute(self._motion, self._hosted)
        reference = to_compute(self._reference, self._hosted)
        inputs = AnimationInputs(reference.encoded, motion, history, self._baseline())
        conditioning = self._hosted.model.backbone.prepare(inputs)
        # ComfyUI shows its own rough previews where the user has chosen a method for them
        own = latent_preview.get_previewer(self.model_patcher.load_device, self.inner_model.latent_format) is None
        return _Run(conditioning, ProgressBar(steps), own)

    def _baseline(self) -> Baseline | None:
        """The carried portrait for models that start from it, encoded a few frames at a time."""
        from ...model_core.pipeline import baseline_of, carry_reference
        from ...model_core.types import Baseline

        model, count = self._hosted.model, len(self._motion)
        if not model.backbone.uses_baseline:
            return None
        parts = []
        for start in range(0, count, _CARRIED_AT_ONCE):
            check_cancel()
            some = range(start, min(start + _CARRIED_AT_ONCE, count))
            carried = carry_reference(model, self._reference, self._motion.take(some))
            if carried is None:
                return None
            parts.append(baseline_of(model, carried))
        return Baseline(torch.cat([part.latents for part in parts]), torch.cat([part.validity for part in parts]))

    @staticmethod
    def _position(timestep: Tensor, sigmas: Tensor) -> int:
        """The step that a noise level belongs to: samplers also ask between the levels of two steps."""
        sigma = timestep.flatten()[0].to(sigmas)
        reached = int((sigmas >= sigma * (1 - _SAME)).sum()) - 1
        return min(max(reached, 0), len(sigmas) - 2)

    @staticmethod
    def _show(run: _Run, done: float, steps: int) -> None:
        """Move the bar, never back: some samplers look ahead to the next step's noise level."""
        run.shown = max(run.shown, done)
        run.bar.update_absolute(run.shown, steps)


def model_sigmas(hosted: HostedModel, steps: int, *, denoise: float = 1.0) -> Tensor:
    """The noise levels that our loop's Euler takes for this many steps: (steps + 1,), falling, 0 last.

    Args:
        denoise: in (0, 1]; below 1 only the last part of the way is walked, in as many steps.
    """
    from ...model_core.sampling.schedule import make_scheduler, start

    scheduler = make_scheduler(hosted.model.config.schedule, "euler")
    start(scheduler, steps, denoise)
    return scheduler.sigmas[-(steps + 1) :].float().cpu()
