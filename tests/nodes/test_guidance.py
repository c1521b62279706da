from __future__ import annotations

import pytest
import torch


@pytest.fixture(scope="module")
def guidance(comfy):
    return comfy.module("nodes.guidance")


@pytest.fixture(scope="module")
def motion(comfy):
    signal = comfy.module("model_core.types").MotionSignal
    return lambda frames: signal("parsing_map", torch.rand(frames, 3, 32, 32))


@pytest.mark.parametrize("overlap", [4, 9])
def test_an_overlap_without_rest_is_refused(guidance, overlap):
    values = {"length": 4, "cyclic": True, "preview_frames": 8, "preview_steps": 2}
    with pytest.raises(guidance.bridge.InputError, match=f"overlap {overlap}: .* smaller than the window"):
        guidance.CyclicOverlapWindows.execute(overlap=overlap, **values)


def test_fusion_that_ends_before_it_starts_is_refused(guidance):
    with pytest.raises(guidance.bridge.InputError, match="start 0.8, end 0.2"):
        guidance.SignalFusion.execute(identity=1.0, motion=1.0, continuity=1.0, start=0.8, end=0.2)


def test_windows_are_shown_as_a_picture(guidance):
    result = guidance.CyclicOverlapWindows.execute(length=8, overlap=2, cyclic=True, preview_frames=20, preview_steps=5)
    windows, picture = result.args
    assert (windows.length, windows.overlap, windows.cyclic) == (8, 2, True)
    assert picture.ndim == 4
    assert picture.shape[2] > picture.shape[1]
    assert 0 <= picture.min() < picture.max() <= 1
    assert result.ui == ("preview", picture)


def test_only_the_last_finished_frames_count(guidance, motion):
    images, signal = torch.rand(5, 32, 32, 3), motion(5)
    (history,) = guidance.HistoryFrames.execute(frames=2, chunk=9, images=images, motion=signal).args
    assert torch.allclose((history.images + 1) / 2, images[3:].permute(0, 3, 1, 2), atol=1e-6)
    assert torch.equal(history.motion.frames, signal.frames[3:])


@pytest.mark.parametrize(("images", "frames"), [(5, None), (None, 5), (5, 4)])
def test_history_needs_images_and_their_motion(guidance, motion, images, frames):
    with pytest.raises(guidance.bridge.InputError, match="history"):
        guidance.HistoryFrames.execute(
            frames=3,
            chunk=64,
            images=None if images is None else torch.rand(images, 32, 32, 3),
            motion=None if frames is None else motion(frames),
        )
