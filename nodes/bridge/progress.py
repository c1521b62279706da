"""Progress bars, previews and Cancel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import comfy.model_management as management
from comfy.utils import ProgressBar
from PIL import Image
from torch import Tensor

if TYPE_CHECKING:
    from ...model_core.models import PortraitModel
    from ...model_core.types import Branch, StepEvent

_PREVIEW_SIDE = 512

check_cancel = management.throw_exception_if_processing_interrupted
"""Raises ComfyUI's own interrupt once the user has pressed Cancel."""


class Progress:
    """A counter for the library's ``progress`` callbacks; raises ComfyUI's interrupt on Cancel."""

    def __init__(self, total: int) -> None:
        self._bar = ProgressBar(max(total, 1))
        self._done = 0

    def __call__(self, *_: Any) -> None:
        check_cancel()
        self._done += 1
        self._bar.update_absolute(self._done)


class ByteProgress:
    """Bytes done of bytes in all, for downloads; raises ComfyUI's interrupt on Cancel."""

    def __init__(self) -> None:
        self._bar = ProgressBar(1)

    def __call__(self, done: int, total: int) -> None:
        check_cancel()
        self._bar.update_absolute(done, total)


class SamplingObserver:
    """The library's StepObserver: ComfyUI's progress bar after every window, a preview after every step.

    Args:
        model: whose autoencoder makes the previews.
        chunks: how many times the loop will run from its first step.
    """

    def __init__(self, model: PortraitModel, *, chunks: int) -> None:
        self._model = model
        self._chunks = chunks
        self._chunk = 0
        self._bar = ProgressBar(1)

    def __call__(self, event: StepEvent) -> None:
        check_cancel()
        # in steps, with a fraction: cyclic overlap has not the same number of windows in every step
        done = self._chunk * event.steps + event.step + event.window / event.windows
        preview = preview_of(self._model, event.latents) if event.step_done else None
        self._bar.update_absolute(done, self._chunks * event.steps, preview)
        if event.step_done and event.step + 1 == event.steps:
            self._chunk += 1


def preview_of(model: PortraitModel, latents: Tensor) -> tuple[str, Image.Image, int]:
    """The middle frame of (1, F, C, h, w), decoded, as ComfyUI's progress bar takes a preview."""
    from ...model_core.images import to_uint8
    from ...model_core.pipeline import decode

    middle = latents.shape[1] // 2
    image = to_uint8(decode(model, latents[:, middle : middle + 1]))[0]
    return "JPEG", Image.fromarray(image), _PREVIEW_SIDE


class CancellableBackbone:
    """A backbone that looks for Cancel before every single network call.

    The loop asks for all branches of a window at once and tells its observer afterwards; with four branches that
    would be four calls after Cancel.
    """

    def __init__(self, backbone: Any) -> None:
        self._backbone = backbone

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backbone, name)

    def predict(
        self, latents: Tensor, timestep: Tensor, conditioning: Any, branches: Sequence[Branch]
    ) -> dict[Branch, Tensor]:
        """As the backbone's own, one branch at a time."""
        predictions: dict[Branch, Tensor] = {}
        for branch in branches:
            check_cancel()
            predictions |= self._backbone.predict(latents, timestep, conditioning, (branch,))
        return predictions


def cancellable(model: PortraitModel) -> PortraitModel:
    """The same model, which stops within one network call after Cancel."""
    backbone: Any = CancellableBackbone(model.backbone)
    return replace(model, backbone=backbone)
