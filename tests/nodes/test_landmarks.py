"""Landmarks that ComfyUI itself has found become a track like any other."""

from __future__ import annotations

import numpy as np
import pytest
import torch

WIDGETS = {"face_index": 0, "max_gap": 5, "smoothing": False}


@pytest.fixture(scope="module")
def node(comfy):
    return comfy.module("nodes.landmarks")


@pytest.fixture(scope="module")
def found(make_track):
    """Four frames of which the third shows no face; the crop's units are half the frame's pixels."""
    faces = [
        [{"landmarks_xy": points[:, :2], "landmarks_3d": points / 2, "score": 0.9}]
        for points in make_track(4, size=96).landmarks
    ]
    faces[2] = []
    return {"frames": faces, "image_size": (96, 96)}


def test_one_face_is_followed_and_gaps_are_filled_here(node, found, make_track):
    images = torch.rand(4, 96, 96, 3)
    made = node.FollowFaceLandmarks.execute(landmarks=found, images=images, **WIDGETS)
    track, preview, report, plot, kept = made.args
    truth = make_track(4, size=96).landmarks
    np.testing.assert_allclose(track.landmarks[[0, 1, 3]], truth[[0, 1, 3]], atol=1e-2)
    assert track.detected.tolist() == [True, True, False, True]
    assert preview.shape == images.shape and plot.ndim == 4
    assert "frames 2" in report
    assert kept is images


def test_skipped_frames_are_left_out(node, found):
    images = torch.rand(4, 96, 96, 3)
    made = node.FollowFaceLandmarks.execute(landmarks=found, images=images, missing="skip", **WIDGETS)
    assert len(made.args[0]) == 3
    assert torch.equal(made.args[4], images[[0, 1, 3]])


def test_images_of_other_frames_are_refused(node, found):
    for images in (torch.rand(3, 96, 96, 3), torch.rand(4, 64, 96, 3)):
        with pytest.raises(node.bridge.InputError, match=r"landmarks: of 4 frame\(s\) of 96x96, images are"):
            node.FollowFaceLandmarks.execute(landmarks=found, images=images, **WIDGETS)
