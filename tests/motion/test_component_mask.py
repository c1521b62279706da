from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.errors import InputError
from model_core.motion.component_mask import component_masks
from model_core.types import Component, FaceTrack

MOUTH = (Component.UPPER_LIP, Component.LOWER_LIP, Component.INNER_MOUTH)


@pytest.fixture(scope="module")
def track(face: np.ndarray) -> FaceTrack:
    return FaceTrack(
        boxes=np.zeros((2, 4), np.float32),
        landmarks=np.stack([face, face + np.float32([7, 3, 0])]),
        confidence=np.ones(2, np.float32),
        detected=np.ones(2, bool),
        size=(256, 240),
    )


def test_each_frame_has_its_own_mask(track: FaceTrack) -> None:
    masks = component_masks(track, MOUTH)
    assert masks.shape == (2, 256, 240) and masks.dtype == torch.float32
    assert masks[0, 180, 128] == masks[1, 183, 135] == 1
    assert torch.equal(masks[0, 100:220, 50:200], masks[1, 103:223, 57:207])
    assert masks[0, 110, 98] == 0


@settings(max_examples=20, deadline=None)
@given(grow=st.integers(-4, 30))
def test_growing_moves_the_edge_by_so_many_pixels(track: FaceTrack, grow: int) -> None:
    plain = component_masks(track.take([0]), MOUTH)[0]
    made = component_masks(track.take([0]), MOUTH, grow=grow)[0]
    assert set(made.unique().tolist()) <= {0.0, 1.0}
    row = 180
    (left, right), (was_left, was_right) = (
        torch.nonzero(mask[row]).flatten()[[0, -1]].tolist() for mask in (made, plain)
    )
    # rows of the mouth's ellipse: its ends are sharp, so that narrowing reaches a little further there
    assert was_left - left == pytest.approx(grow, abs=0 if grow >= 0 else 4)
    assert right - was_right == pytest.approx(grow, abs=0 if grow >= 0 else 4)


def test_feathering_is_soft_on_both_sides_and_nowhere_else(track: FaceTrack) -> None:
    hard = component_masks(track, MOUTH)[0]
    soft = component_masks(track, MOUTH, feather=6.0)[0]
    assert 0 <= float(soft.min()) and float(soft.max()) <= 1
    edge = int(torch.nonzero(hard[180]).max())
    assert soft[180, edge - 15] > 0.99 and soft[180, edge + 15] < 0.01
    assert 0.02 < soft[180, edge + 3] < soft[180, edge - 3] < 0.98


def test_an_analyser_s_own_labels_are_used(track: FaceTrack) -> None:
    labels = np.zeros((2, 256, 240), np.uint8)
    labels[1, 5, 6] = Component.NOSE
    parsed = FaceTrack(track.boxes, track.landmarks, track.confidence, track.detected, track.size, labels)
    masks = component_masks(parsed, {Component.NOSE}, grow=1)
    assert torch.nonzero(masks).tolist() == [[1, 4, 6], [1, 5, 5], [1, 5, 6], [1, 5, 7], [1, 6, 6]]


@pytest.mark.parametrize(
    ("components", "options", "message"),
    [
        ((), {}, "no part of the face is chosen"),
        (MOUTH, {"feather": -1.0}, "feather is -1"),
        (MOUTH, {"grow": -100}, "grow -100 leaves nothing"),
    ],
)
def test_what_makes_no_mask_is_named(track: FaceTrack, components: tuple, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        component_masks(track, components, **options)
