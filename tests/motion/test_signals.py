from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch

from model_core.errors import InputError
from model_core.motion.signals import SIGNALS, check_signal, make_signal
from model_core.types import FaceTrack, MotionKind, MotionSignal

KINDS = get_args(MotionKind)


@pytest.fixture(scope="module")
def driving(face: np.ndarray) -> FaceTrack:
    landmarks = np.stack([face, face + np.float32([6, 2, 0])])
    return FaceTrack(
        boxes=np.concatenate([landmarks[..., :2].min(1), landmarks[..., :2].max(1)], axis=1),
        landmarks=landmarks,
        confidence=np.ones(2, np.float32),
        detected=np.ones(2, bool),
        size=(256, 256),
    )


@pytest.fixture(scope="module")
def reference(driving: FaceTrack) -> FaceTrack:
    one = driving.take([0])
    return replace(one, landmarks=one.landmarks * np.float32(0.5), boxes=one.boxes / 2, size=(160, 128))


def test_every_kind_is_in_the_table() -> None:
    assert set(SIGNALS) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_made_and_fits_its_model(kind: MotionKind, driving: FaceTrack, reference: FaceTrack) -> None:
    frames = torch.zeros(2, 3, 256, 256) if kind == "masked_frames" else None
    signal = make_signal(kind, driving, reference=reference, frames=frames)
    assert signal.kind == kind
    assert signal.frames.shape == (2, 3 * SIGNALS[kind].pictures, 160, 128)
    check_signal(signal, kind=kind, size=(160, 128), model="any")
    assert make_signal(kind, driving, frames=frames, size=(64, 96)).frames.shape[-2:] == (64, 96)
    assert make_signal(kind, driving, frames=frames).frames.shape[-2:] == (256, 256)


def test_a_kind_s_own_placing_counts_where_none_is_chosen(driving: FaceTrack, reference: FaceTrack) -> None:
    for kind, own, other in (("drawn_landmarks", "retarget", "absolute"), ("parsing_map", "relative", "absolute")):
        plain = make_signal(kind, driving, reference=reference)  # type: ignore[arg-type]
        for placing, same in ((own, True), (other, False)):
            made = make_signal(kind, driving, reference=reference, placing=placing)  # type: ignore[arg-type]
            assert torch.equal(plain.frames, made.frames) is same, (kind, placing)


def test_pixels_cannot_be_retargeted(driving: FaceTrack, reference: FaceTrack) -> None:
    for kind in ("parsing_map", "masked_frames"):
        with pytest.raises(InputError, match=f"retarget moves drawn landmarks only, not {kind}"):
            make_signal(kind, driving, reference=reference, placing="retarget")  # type: ignore[arg-type]


def test_masked_frames_need_frames(driving: FaceTrack) -> None:
    with pytest.raises(InputError, match="connect the driving frames"):
        make_signal("masked_frames", driving)


@pytest.mark.parametrize("wanted", KINDS)
@pytest.mark.parametrize("given", KINDS)
def test_a_wrong_pairing_names_the_node_to_use(given: MotionKind, wanted: MotionKind) -> None:
    signal = MotionSignal(given, torch.zeros(2, 3 * SIGNALS[given].pictures, 8, 8))
    if given == wanted:
        check_signal(signal, kind=wanted, size=(8, 8), model="tiny")
        return
    with pytest.raises(InputError) as caught:
        check_signal(signal, kind=wanted, size=(8, 8), model="tiny")
    assert f"motion: is {given}, model tiny takes {wanted}; connect {SIGNALS[wanted].node}" in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((0, 3, 8, 8), "motion: has no frames"),
        ((2, 6, 8, 8), "motion: has 6 channels, parsing_map has 3"),
        (
            (2, 3, 8, 16),
            "motion: is 16x8, model tiny takes 8x8; connect Encode Reference's framed_track to Parsing Map",
        ),
    ],
)
def test_what_does_not_fit_is_named(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_signal(MotionSignal("parsing_map", torch.zeros(shape)), kind="parsing_map", size=(8, 8), model="tiny")
