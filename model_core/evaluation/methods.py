"""What evaluation compares: ways to make the frames of a case."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from torch import Tensor

from ..config import SamplingConfig
from ..models import PortraitModel
from ..motion.scenes import MotionSettings, Placing
from ..pipeline import decode, encode_reference, prepare_motion, sample_clip
from ..training.mask_faults import masked
from ..types import MotionSignal
from ..warp import carry_pixels
from .cases import Case

Method = Callable[[Case], Tensor]
"""Makes (F, 3, H, W) in [-1, 1] of a case."""
Signal = Callable[[PortraitModel, Case], MotionSignal]
"""Makes the motion signal of a case's F frames."""


def copy_reference(case: Case) -> Tensor:
    return case.reference.expand_as(case.target)


def placed(placing: Placing) -> Signal:
    """The driving motion as ``animate`` prepares it, without the frame that shows the reference's own motion."""
    settings = MotionSettings(placing=placing)

    def make(model: PortraitModel, case: Case) -> MotionSignal:
        whole = prepare_motion(model, case.driving, reference=case.own, settings=settings, frames=case.frames)
        return whole.take(range(1, len(whole)))

    return make


def faulty(**faults: bool) -> Signal:
    """Masked frames, retargeted, with faults of ``mask_faults.masked``."""

    def make(model: PortraitModel, case: Case) -> MotionSignal:
        whole = placed("retarget")(model, case)
        assert whole.landmarks is not None
        size = model.config.size
        pixels = carry_pixels(
            ((case.frames[1:] + 1) / 2).permute(0, 2, 3, 1).contiguous().numpy(),
            case.driving.landmarks[1:],
            whole.landmarks,
            size=size,
        )
        frames = masked(pixels, whole.landmarks, np.random.default_rng(0), **faults)
        return MotionSignal("masked_frames", frames, whole.landmarks)

    return make


def by_model(model: PortraitModel, sampling: SamplingConfig, signal: Signal | None = None) -> Method:
    """The pipeline's own way; the motion is retargeted where no ``signal`` is given."""
    make = signal or placed("retarget")

    def run(case: Case) -> Tensor:
        reference = encode_reference(model, case.reference, track=case.own, foreground=case.foreground, framing="full")
        return decode(model, sample_clip(model, reference, make(model, case), sampling)).cpu()

    return run


def methods_of(model: PortraitModel, sampling: SamplingConfig) -> dict[str, Method]:
    """A copy, the carried portrait alone, the model, and the model with one thing at a time left out or spoilt."""
    replace = dataclasses.replace
    made = {
        "copy of the reference": copy_reference,
        "without the network": by_model(model, replace(sampling, steps=0)),
        model.config.name: by_model(model, sampling),
        "with relative alignment": by_model(model, sampling, placed("relative")),
        "without cyclic overlap": by_model(model, replace(sampling, cyclic=False, overlap=0)),
        "without history": by_model(model, replace(sampling, history=0)),
    }
    if model.config.motion_kind == "masked_frames":
        made["with jittering masks"] = by_model(model, sampling, faulty(jitter=True))
        made["with masks missing parts"] = by_model(model, sampling, faulty(missing=True))
        made["with something in front"] = by_model(model, sampling, faulty(occluded=True))
    return made
