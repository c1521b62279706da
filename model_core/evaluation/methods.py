"""What evaluation compares: ways to make the frames of a case."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from torch import Tensor

from ..config import SamplingConfig
from ..models import PortraitModel
from ..motion.alignment import Alignment, placement
from ..pipeline import decode, encode_reference, prepare_motion, sample_clip
from ..training.mask_faults import masked
from ..types import MotionSignal
from .cases import Case

Method = Callable[[Case], Tensor]
"""Makes (F, 3, H, W) in [-1, 1] of a case."""
Signal = Callable[[PortraitModel, Case], MotionSignal]
"""Makes the motion signal of a case's F frames."""


def copy_reference(case: Case) -> Tensor:
    return case.reference.expand_as(case.target)


def aligned(alignment: Alignment) -> Signal:
    """The driving motion as ``animate`` prepares it, without the frame that shows the reference's own motion."""

    def make(model: PortraitModel, case: Case) -> MotionSignal:
        whole = prepare_motion(model, case.driving, reference=case.own, alignment=alignment, frames=case.frames)
        return whole.take(range(1, len(whole)))

    return make


def faulty(**faults: bool) -> Signal:
    """Masked frames, aligned relatively, with faults of ``mask_faults.masked``."""

    def make(model: PortraitModel, case: Case) -> MotionSignal:
        place, size = placement(case.driving, case.own), model.config.size
        pixels = place.warp((case.frames + 1) / 2, size=size).clamp(0, 1).permute(0, 2, 3, 1).numpy()
        landmarks = place.points(case.driving.landmarks)
        frames = masked(pixels[1:], landmarks[1:], np.random.default_rng(0), **faults)
        return MotionSignal("masked_frames", frames)

    return make


def by_model(model: PortraitModel, sampling: SamplingConfig, signal: Signal | None = None) -> Method:
    """The pipeline's own way; ``signal`` is relative alignment where it is not given."""
    make = signal or aligned("relative")

    def run(case: Case) -> Tensor:
        reference = encode_reference(model, case.reference, track=case.own, foreground=case.foreground, framing="full")
        return decode(model, sample_clip(model, reference, make(model, case), sampling)).cpu()

    return run


def methods_of(model: PortraitModel, sampling: SamplingConfig) -> dict[str, Method]:
    """A copy, the model, and the model with one thing at a time left out or spoilt."""
    replace = dataclasses.replace
    made = {
        "copy of the reference": copy_reference,
        model.config.name: by_model(model, sampling),
        "with absolute alignment": by_model(model, sampling, aligned("absolute")),
        "without cyclic overlap": by_model(model, replace(sampling, cyclic=False, overlap=0)),
        "without history": by_model(model, replace(sampling, history=0)),
    }
    if model.config.motion_kind == "masked_frames":
        made["with jittering masks"] = by_model(model, sampling, faulty(jitter=True))
        made["with masks missing parts"] = by_model(model, sampling, faulty(missing=True))
        made["with something in front"] = by_model(model, sampling, faulty(occluded=True))
    return made
