"""What evaluation compares: ways to make the frames of a case."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..config import SamplingConfig
from ..images import to_float, to_uint8
from ..models import PortraitModel
from ..motion.scenes import MotionSettings, Placing
from ..motion.signals import SIGNALS, make_signal
from ..pipeline import (
    FinishedChunk,
    PortraitReference,
    a_few_at_once,
    animate,
    clip_chunks,
    drive,
    encode_reference,
    finisher_of,
)
from ..training.mask_faults import masked
from ..types import MotionSignal, MotionSource
from ..warp import PortraitLayers, carry_pixels
from ..warp.carrier import CarriedFrames, Carrier
from ..warp.full_size import OutputSize
from ..warp.portrait import Carried
from ..warp.resampling import resampler_for
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
        kind, size = model.config.motion_kind, model.config.size
        whole = make_signal(kind, case.driving, reference=case.own, settings=settings, frames=case.frames, size=size)
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
        return _animated(model, reference, make(model, case), sampling, size="model")

    return run


def as_animated(variant: Variant, settings: MotionSettings) -> Reenactor:
    """What ``animate`` makes of the pair at the portrait's own size, without the frame of the portrait's own motion."""

    def run(pair: Pair) -> Tensor:
        model = variant.model
        reference = encode_reference(model, pair.reference, track=pair.own, foreground=pair.foreground)
        shown = a_few_at_once(to_uint8(pair.frames))
        motion = drive(model, reference, pair.driving, settings=settings, frames=shown)
        return _animated(model, reference, motion, variant.sampling, size="portrait")[1:]

    return run


def _animated(
    model: PortraitModel,
    reference: PortraitReference,
    motion: MotionSource,
    sampling: SamplingConfig,
    *,
    size: OutputSize,
) -> Tensor:
    """All frames at once, (F, 3, H, W) in [-1, 1]."""
    finisher = finisher_of(reference, size, device=model.device)
    events = animate(model, reference, motion, sampling, finisher=finisher)
    frames = [frame for event in events if isinstance(event, FinishedChunk) for frame in event.frames]
    return to_float(np.stack(frames))


@dataclass(frozen=True)
class _Known(PortraitLayers):
    """Layers that have been carried already, to the landmarks they will be asked for."""

    known: Carried

    def on(self, device: torch.device | str) -> Carrier:
        return _KnownCarrier(self, resampler_for(device))


class _KnownCarrier(Carrier):
    layers: _Known

    def carry_all(self, landmarks: np.ndarray) -> CarriedFrames:
        known = self.layers.known
        return CarriedFrames(torch.from_numpy(known.frames), torch.from_numpy(known.validity))


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
