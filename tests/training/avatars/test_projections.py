"""The true flow of avatars: landmarks travel along it, and moved pixels meet their like."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from model_core.training.avatars import make_clip
from model_core.training.correspondence import BACKGROUND, BODY, HEAD, true_flow

SIZE = 128


@pytest.fixture(scope="module")
def clip() -> dict[str, np.ndarray]:
    return make_clip(5, frames=6, drivers=1, size=SIZE)


def flow_between(clip: dict[str, np.ndarray], target: int, reference: int) -> np.ndarray:
    return true_flow(
        clip["surface"][target], clip["layers"][target], clip["projections"][target], clip["projections"][reference]
    )


def test_a_frame_does_not_move_against_itself(clip: dict[str, np.ndarray]) -> None:
    assert np.abs(flow_between(clip, 2, 2)).max() == 0


def test_layers_are_where_the_person_is(clip: dict[str, np.ndarray]) -> None:
    shown = clip["foreground"][:, ::2, ::2] > 127
    assert (shown == (clip["layers"] != BACKGROUND)).mean() > 0.98
    assert {BACKGROUND, HEAD, BODY} == set(np.unique(clip["layers"]))


def test_rigid_landmarks_travel_along_the_flow(clip: dict[str, np.ndarray]) -> None:
    bridge = [6, 197, 195, 5, 4]  # the nose's, which no expression moves
    for target in range(1, 6):
        flow = flow_between(clip, target, 0) * SIZE / 2
        points = clip["landmarks"][target][bridge, :2]
        x, y = np.ascontiguousarray((points / 2 - 0.5).astype(np.float32).T)[..., None]
        found = np.stack([cv2.remap(part, x, y, cv2.INTER_LINEAR)[:, 0] for part in flow], axis=1)
        expected = clip["landmarks"][0][bridge, :2] - points
        assert np.abs(expected).max() > 0.5, "the head hardly moves; the test says nothing"
        np.testing.assert_allclose(found, expected, atol=0.6)


def test_pixels_moved_along_the_flow_meet_their_like(clip: dict[str, np.ndarray]) -> None:
    ys, xs = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
    images = clip["images"].astype(np.float32)
    gains = []
    for target in range(1, 6):
        flow = [cv2.resize(part, (SIZE, SIZE)) * SIZE / 2 for part in flow_between(clip, target, 0)]
        moved = cv2.remap(images[0], xs + flow[0], ys + flow[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        person = cv2.resize((clip["layers"][target] == HEAD).astype(np.uint8), (SIZE, SIZE)) > 0
        still, after = (((picture - images[target]) ** 2)[person].mean() for picture in (images[0], moved))
        gains.append(10 * np.log10(still / after))
    assert np.mean(gains) > 4
