"""What evaluation compares: ways to make the frames of a case."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..config import SamplingConfig
from ..models import PortraitModel
from ..motion.scenes import MotionSettings, Placing
from ..motion.signals import SIGNALS, make_signal
from ..pipeline import animate, clip_chunks, decode, encode_reference, prepare_motion, sample_clip
from ..training.mask_faults import masked
from ..types import MotionSignal
from ..warp import PortraitLayers, carry_pixels
from ..warp.portrait import Carried
from .cases import Case, Pair, exact_track

Method = Callable[[Case], Tensor]
"""Makes (F, 3, H, W) in [-1, 1] of a case."""
Reenactor = Callable[[Pair], Tensor]
"""The same of any pair, without knowing what has to come out."""
Signal = Callable[[PortraitModel, Case], MotionSignal]
"""Makes the motion signal of a case's F frames."""

WITHOUT = "without the network"
"""The carried portrait alone, which every model starts from."""


@dataclass(frozen=True)
class Variant:
    """A model with settings, as a row of a table.

    Attributes:
        model: what makes the frames.
        sampling: how.
        signal: how its motion is made; None is the table's own way.
    """

    model: PortraitModel
    sampling: SamplingConfig
    signal: Signal | None = None

    def seams(self, frames: int) -> list[int]:
        """The first frames of the second and later chunks of a clip."""
        return [chunk.start for chunk in clip_chunks(frames, self.sampling)[1:]]


def copy_reference(case: Pair) -> Tensor:
    return case.reference.expand(len(case.driving) - 1, -1, -1, -1)


def placed(placing: Placing) -> Signal:
    """The driving motion as ``animate`` prepares it, without the frame that shows the reference's own motion."""
    settings = MotionSettings(placing=placing)

    def make(model: PortraitModel, case: Pair) -> MotionSignal:
        whole = prepare_motion(model, case.driving, reference=case.own, settings=settings, frames=case.frames)
        return whole.take(range(1, len(whole)))

    return make


def exact(model: PortraitModel, case: Case) -> MotionSignal:
    """The motion of the truth's own landmarks; masked frames show the driver, carried onto them."""
    kind, size = model.config.motion_kind, (case.target.shape[-2], case.target.shape[-1])
    shown = None
    if SIGNALS[kind].draw is None:
        shown = torch.from_numpy(_driver_on(case.landmarks, case, size)).permute(0, 3, 1, 2) * 2 - 1
    return make_signal(kind, exact_track(case.landmarks, size), frames=shown, size=model.config.size)


def faulty(signal: Signal | None = None, **faults: bool) -> Signal:
    """Masked frames on the landmarks of another signal (None: retargeted), with faults of ``mask_faults.masked``."""
    whole_of = signal or placed("retarget")

    def make(model: PortraitModel, case: Case) -> MotionSignal:
        whole = whole_of(model, case)
        assert whole.landmarks is not None
        pixels = _driver_on(whole.landmarks, case, model.config.size)
        frames = masked(pixels, whole.landmarks, np.random.default_rng(0), **faults)
        return MotionSignal("masked_frames", frames, whole.landmarks)

    return make


def _driver_on(landmarks: np.ndarray, case: Pair, size: tuple[int, int]) -> np.ndarray:
    """The driver's frames carried onto landmarks (F, 478, 3) of frames of ``size``, (F, H, W, 3) in [0, 1]."""
    unit = ((case.frames[1:] + 1) / 2).permute(0, 2, 3, 1).contiguous().numpy()
    return carry_pixels(unit, case.driving.landmarks[1:], landmarks, size=size)


def by_model(model: PortraitModel, sampling: SamplingConfig, signal: Signal | None = None) -> Method:
    """The pipeline's own way at the model's size; the motion is retargeted where no ``signal`` is given."""
    make = signal or placed("retarget")

    def run(case: Case) -> Tensor:
        reference = encode_reference(model, case.reference, track=case.own, foreground=case.foreground, framing="full")
        if case.carried is not None and reference.layers is not None:
            layers = _Known(**vars(reference.layers), known=case.carried)
            reference = dataclasses.replace(reference, layers=layers)
        return decode(model, sample_clip(model, reference, make(model, case), sampling)).cpu()

    return run


def as_animated(variant: Variant, settings: MotionSettings) -> Reenactor:
    """What ``animate`` makes of the pair at the portrait's own size, without the frame of the portrait's own motion."""

    def run(pair: Pair) -> Tensor:
        made = animate(
            variant.model,
            pair.reference,
            pair.driving,
            track=pair.own,
            foreground=pair.foreground,
            sampling=variant.sampling,
            settings=settings,
            driving_frames=pair.frames,
            size="portrait",
        )
        return torch.cat([frames.cpu() for frames in made])[1:]

    return run


@dataclass(frozen=True)
class _Known(PortraitLayers):
    """Layers that have been carried already, to the landmarks they will be asked for."""

    known: Carried

    def carry(self, landmarks: np.ndarray) -> Carried:
        return self.known


def methods_of(model: PortraitModel, sampling: SamplingConfig) -> dict[str, Method]:
    """A copy, the carried portrait alone, the model, and the model with one thing at a time left out or spoilt."""
    replace = dataclasses.replace
    made = {
        "copy of the reference": copy_reference,
        WITHOUT: by_model(model, replace(sampling, steps=0)),
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
