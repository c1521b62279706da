from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch

from model_core.errors import InputError
from model_core.motion.parsing_map import label_map, parsing_map_signal
from model_core.motion.scenes import MotionSettings, Placing, place_scenes
from model_core.motion.signals import SIGNALS, check_signal, make_signal
from model_core.types import Component, FaceTrack, MotionKind, MotionSignal

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


@pytest.mark.parametrize("kind", KINDS)
def test_motion_is_retargeted_where_no_placing_is_chosen(
    kind: MotionKind, driving: FaceTrack, reference: FaceTrack
) -> None:
    def made(placing: Placing | None) -> MotionSignal:
        frames = torch.linspace(-1, 1, 256).expand(2, 3, 256, 256) if kind == "masked_frames" else None
        settings = None if placing is None else MotionSettings(placing=placing)
        return make_signal(kind, driving, reference=reference, settings=settings, frames=frames)

    plain, retargeted, absolute = made(None), made("retarget"), made("absolute")
    assert torch.equal(plain.frames, retargeted.frames)
    assert not torch.equal(plain.frames, absolute.frames)


def test_a_signal_carries_the_landmarks_it_was_drawn_from(driving: FaceTrack, reference: FaceTrack) -> None:
    signal = make_signal("parsing_map", driving, reference=reference, size=(320, 256))
    assert signal.landmarks is not None and signal.landmarks.shape == (2, 478, 3)
    np.testing.assert_allclose(signal.landmarks[0] / 2, reference.landmarks[0], atol=0.3)
    assert signal.take([1]).landmarks is not None
    np.testing.assert_array_equal(signal.take([1]).landmarks[0], signal.landmarks[1])


def test_a_driver_s_pixels_lie_on_the_portrait_s_features(driving: FaceTrack, reference: FaceTrack) -> None:
    """Eyes, nose and mouth are where the portrait has them, whatever the driver's proportions."""
    wide = replace(driving, landmarks=(driving.landmarks - 128) * np.float32([1.3, 0.8, 1]) + 128)
    x = torch.arange(256.0).expand(2, 3, 256, 256) / 127.5 - 1  # says where a pixel was
    made = {
        placing: make_signal(
            "masked_frames", wide, reference=reference, frames=x, settings=MotionSettings(placing=placing)
        )
        for placing in ("retarget", "relative")
    }
    for mark in (4, 33, 263):  # tip of the nose, outer corners of the eyes
        point = reference.landmarks[0, mark]
        shown = {
            placing: float(signal.frames[0, 0, round(point[1] - 0.5), round(point[0] - 0.5)]) * 255
            for placing, signal in made.items()
        }
        assert abs(shown["retarget"] - wide.landmarks[0, mark, 0]) < 4, mark
        assert mark == 4 or abs(shown["relative"] - wide.landmarks[0, mark, 0]) > 6, "as a whole it keeps its width"


def test_label_maps_are_carried_to_the_portrait(driving: FaceTrack, reference: FaceTrack) -> None:
    labels = np.stack([label_map(points, driving.size, driving.size) for points in driving.landmarks])
    parsed = make_signal("parsing_map", replace(driving, label_maps=labels), reference=reference).frames
    drawn = make_signal("parsing_map", driving, reference=reference).frames
    alike = torch.nn.functional.cosine_similarity(parsed.flatten(), drawn.flatten(), dim=0)
    assert 0.85 < float(alike) < 1.0


@pytest.mark.parametrize("placing", ["relative", "absolute"])
def test_label_maps_of_a_face_that_is_placed_whole_move_as_pixels(
    driving: FaceTrack, reference: FaceTrack, placing: Placing
) -> None:
    """A label where no landmark has one is shown where the similarity puts it."""
    labels = np.zeros((2, 256, 256), np.uint8)
    labels[:, 20:60, 30:80] = Component.NOSE
    parsed, settings = replace(driving, label_maps=labels), MotionSettings(placing=placing)
    made = make_signal("parsing_map", parsed, reference=reference, settings=settings)
    (scene,) = place_scenes(driving, reference, settings)
    wanted = parsing_map_signal(parsed, size=(160, 128), place=scene.place)
    assert torch.equal(made.frames, wanted.frames) and 0 < (made.frames.amax(dim=1) > 0).float().mean() < 0.2
    drawn = make_signal("drawn_landmarks", parsed, reference=reference, settings=settings)
    assert torch.equal(
        drawn.frames, make_signal("drawn_landmarks", driving, reference=reference, settings=settings).frames
    )
    np.testing.assert_allclose(made.landmarks, drawn.landmarks, atol=1e-3)


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
