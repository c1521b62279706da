from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from model_core.errors import InputError
from model_core.faces.blendshapes import BLENDSHAPES
from model_core.faces.host_landmarks import faces_from_landmarks

SCALE, TURN = 2.5, 0.3


def told(points: np.ndarray, **changes: Any) -> dict[str, Any]:
    """A face as ComfyUI tells it: measured in a crop of another size, turned against the frame."""
    turn = np.array([[np.cos(TURN), -np.sin(TURN)], [np.sin(TURN), np.cos(TURN)]]) * SCALE
    crop = np.column_stack([(points[:, :2] - 7.0) @ np.linalg.inv(turn), points[:, 2] / SCALE])
    names = {"_neutral": 0.9, **{name: number / 100 for number, name in enumerate(BLENDSHAPES)}}
    face = {"landmarks_xy": points[:, :2], "landmarks_3d": crop, "score": 0.8, "blendshapes": names}
    return {**face, **changes}


def landmarks(*frames: list[dict[str, Any]]) -> dict[str, Any]:
    return {"frames": [*frames], "image_size": (64, 48), "connection_sets": {}}


def test_depth_comes_in_pixels_of_the_frame(make_track) -> None:
    points = make_track(1).landmarks[0]
    ((face,), ()), size = faces_from_landmarks(landmarks([told(points)], []), name="landmarks")
    np.testing.assert_allclose(face.landmarks, points, atol=1e-3)
    np.testing.assert_allclose(face.box, [*points[:, :2].min(0), *points[:, :2].max(0)], atol=1e-3)
    assert size == (64, 48)
    assert face.confidence == pytest.approx(0.8)
    assert face.landmarks.dtype == face.box.dtype == np.float32


def test_expressions_have_our_order(make_track) -> None:
    points = make_track(1).landmarks[0]
    faces = [told(points), told(points, blendshapes={"jawOpen": 1.0}), told(points, blendshapes=None)]
    ((whole, part, none),), _ = faces_from_landmarks(landmarks(faces), name="landmarks")
    np.testing.assert_allclose(whole.blendshapes, np.arange(51) / 100, atol=1e-6)
    assert part.blendshapes is None and none.blendshapes is None


@pytest.mark.parametrize(
    "change",
    [{"landmarks_xy": np.zeros((468, 2))}, {"landmarks_3d": None}, {"landmarks_xy": np.full((478, 2), np.nan)}],
    ids=["fewer", "none", "NaN"],
)
def test_another_form_is_refused_by_name(make_track, change: dict[str, Any]) -> None:
    face = told(make_track(1).landmarks[0], **change)
    with pytest.raises(InputError, match=r"^landmarks: not of the form .*connect ComfyUI's own Detect Face Landmarks"):
        faces_from_landmarks(landmarks([face]), name="landmarks")
    with pytest.raises(InputError, match="^landmarks: not of the form"):
        faces_from_landmarks({"frames": [[]]}, name="landmarks")
