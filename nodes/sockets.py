"""The custom socket types, and what travels through those whose value the core does not define."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher
    from torch import Tensor

    from ..model_core.models import PortraitModel
    from ..model_core.pipeline import PortraitReference
    from ..model_core.types import MotionSignal

PortraitModelSocket: Any = io.Custom("PORTRAIT_MODEL")  # HostedModel
FaceAnalyzerSocket: Any = io.Custom("FACE_ANALYZER")  # model_core's FaceAnalyzer
FaceTrackSocket: Any = io.Custom("FACE_TRACK")  # model_core's FaceTrack
FaceLandmarksSocket: Any = io.Custom("FACE_LANDMARKS")  # ComfyUI's own, of its newer versions: a dict
FaceCropSocket: Any = io.Custom("FACE_CROP")  # model_core's CropRegion
MotionSocket: Any = io.Custom("PORTRAIT_MOTION")  # model_core's MotionSignal
ReferenceSocket: Any = io.Custom("PORTRAIT_REFERENCE")  # HostedReference
GuidanceSocket: Any = io.Custom("PORTRAIT_GUIDANCE")  # model_core's SignalFusion
WindowsSocket: Any = io.Custom("PORTRAIT_WINDOWS")  # model_core's CyclicOverlap
HistorySocket: Any = io.Custom("PORTRAIT_HISTORY")  # HistorySettings
EditSocket: Any = io.Custom("PORTRAIT_EDIT")  # model_core's ExpressionEdit
StrengthSocket: Any = io.Custom("PORTRAIT_STRENGTH")  # model_core's MotionStrength


@dataclass(frozen=True)
class HostedModel:
    """A portrait model in the care of ComfyUI's memory management.

    Attributes:
        model: the networks; on the device only after ``bridge.on_device``.
        patcher: what ComfyUI loads and offloads.
    """

    model: PortraitModel
    patcher: ModelPatcher


@dataclass(frozen=True)
class HostedReference:
    """An encoded portrait, kept where ComfyUI keeps intermediate results, and the model it belongs to."""

    reference: PortraitReference
    model: PortraitModel


@dataclass(frozen=True)
class HistorySettings:
    """How chunks follow each other.

    Attributes:
        frames: finished frames that each chunk attends to, >= 0.
        chunk: frames sampled at a time.
        images: (N, 3, H, W) in [-1, 1], frames that precede the first one, or None.
        motion: their motion signal; None exactly where ``images`` is.
    """

    frames: int
    chunk: int
    images: Tensor | None = None
    motion: MotionSignal | None = None
