"""A model with one thing at a time left out, changed or spoilt: what each is worth, by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from ..config import SamplingConfig
from ..models import PortraitModel, build_model
from ..motion.random_scaling import random_scaling
from ..motion.signals import SIGNALS, make_signal
from ..types import MotionSignal
from .cases import Case, exact_track
from .methods import Signal, Variant, exact, faulty, placed

STEPS = (1, 2, 4)
FUSION: Mapping[str, Mapping[str, float]] = {
    "identity 2": {"identity": 2.0},
    "motion 2.5": {"motion": 2.5},
    "continuity 2": {"continuity": 2.0},
    "identity 2, motion 2.5": {"identity": 2.0, "motion": 2.5},
}
"""Scales of signal fusion; the last are Stable Video-Driven Portraits' own."""

_PARTS = {
    "without separation": ("separate_foreground", False),
    "with factorised video attention": ("video_attention", "factorised"),
}
"""What the config of a backbone says; both need no other weights."""
_FAULTS = {
    "with jittering masks": {"jitter": True},
    "with masks missing parts": {"missing": True},
    "with something in front": {"occluded": True},
}


def short_windows(sampling: SamplingConfig, frames: int) -> SamplingConfig:
    """Windows and chunks so short that overlap and history have something to do in a clip of so many frames."""
    window = min(sampling.window, max(2, frames // 3))
    overlap = min(max(sampling.overlap, 1), window - 1)
    return dataclasses.replace(sampling, window=window, overlap=overlap, chunk=max(window, frames // 2))


def sampling_ablations(model: PortraitModel, sampling: SamplingConfig, *, moving: bool = True) -> dict[str, Variant]:
    """Steps, overlap, history, scales of fusion, and what the backbone's config can switch off in ``model``.

    Args:
        moving: whether there are several frames, without which there is neither overlap nor history.
    """

    def changed(**settings: float) -> Variant:
        return Variant(model, dataclasses.replace(sampling, **settings))  # type: ignore[arg-type]

    counts = [steps for steps in STEPS if steps != sampling.steps]
    made = {f"{steps} step{'s' if steps > 1 else ''}": changed(steps=steps) for steps in counts}
    if moving:
        made["without cyclic overlap"] = changed(cyclic=False, overlap=0)
    if moving and sampling.history:
        made["without history"] = changed(history=0)
    made |= {name: changed(**scales) for name, scales in FUSION.items()}
    for name, (part, value) in _PARTS.items():
        if getattr(_networks(model), part, value) != value:
            made[name] = Variant(_with(model, part, value), sampling)
    return made


def signal_ablations(model: PortraitModel, sampling: SamplingConfig) -> dict[str, Variant]:
    """Other motion than the truth's own: another person's, scaled at random, or with faults in the masks."""
    signals: dict[str, Signal] = {
        "driven by another face": placed("retarget"),
        "with relative alignment": placed("relative"),
    }
    if model.config.motion_kind == "masked_frames":
        signals |= {name: faulty(exact, **faults) for name, faults in _FAULTS.items()}
    else:
        signals["with random scaling"] = scaled
    return {name: Variant(model, sampling, signal) for name, signal in signals.items()}


def scaled(model: PortraitModel, case: Case) -> MotionSignal:
    """The truth's motion, drawn of components of other sizes (``random_scaling``); the portrait is carried as ever."""
    kind, size = model.config.motion_kind, (case.target.shape[-2], case.target.shape[-1])
    assert SIGNALS[kind].draw is not None
    other = random_scaling(case.landmarks, np.random.default_rng(0))
    drawn = make_signal(kind, exact_track(other, size), size=model.config.size)
    return dataclasses.replace(drawn, landmarks=exact(model, case).landmarks)


def _networks(model: PortraitModel) -> object:
    """The config that the backbone was built from."""
    return getattr(model.backbone, "config", None)


def _with(model: PortraitModel, part: str, value: object) -> PortraitModel:
    """The same weights in networks one of whose settings is another."""
    config = dataclasses.replace(model.config, backbone={**model.config.backbone, part: value})
    made = build_model(config)
    made.backbone.load_state_dict(model.backbone.state_dict())
    made.backbone.to(device=model.device, dtype=model.dtype).eval().requires_grad_(False)
    return dataclasses.replace(model, config=config, backbone=made.backbone)
