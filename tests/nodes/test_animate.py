"""From the encoded portrait to frames, through the nodes, with a tiny random model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch


@pytest.fixture(scope="module")
def animate(comfy):
    return comfy.module("nodes.animate")


@pytest.fixture(scope="module")
def track(comfy):
    """A face that is nothing but landmarks spread over the picture."""
    marks = np.random.default_rng(0).uniform(0.2, 0.8, (1, 478, 3)).astype(np.float32) * 64
    return comfy.module("model_core.types").FaceTrack(
        boxes=np.array([[12, 12, 52, 52]], np.float32),
        landmarks=marks,
        confidence=np.ones(1, np.float32),
        detected=np.ones(1, bool),
        size=(64, 64),
    )


@pytest.fixture(scope="module")
def reference(comfy, hosted_model, track):
    node = comfy.module("nodes.reference").EncodeReference
    image = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(1, 64, 64)
    return node.execute(model=hosted_model, image=image, framing="full", track=track, mask=mask).args


@pytest.fixture(scope="module")
def motion(comfy, track, reference):
    driving = track.take([0] * 7)
    moved = replace(driving, landmarks=driving.landmarks + np.arange(7, dtype=np.float32)[:, None, None])
    node = comfy.module("nodes.motion").ParsingMapMotion
    return node.execute(driving=moved, alignment="absolute", width=0, height=0, reference=reference[1]).args[0]


def run(animate, hosted_model, reference, motion, **settings):
    values = {"seed": 1, "steps": 2, "scheduler": "ddim", **settings}
    result = animate.AnimatePortrait.execute(model=hosted_model, reference=reference[0], motion=motion, **values)
    return result.args[0]["samples"]


def test_reference_comes_back_in_the_model_s_frame(hosted_model, reference):
    encoded, track, image = reference
    assert track.size == (32, 32)
    assert image.shape == (1, 32, 32, 3)
    assert encoded.model is hosted_model.model


def test_motion_takes_its_size_from_the_reference(motion):
    assert motion.frames.shape == (7, 3, 32, 32)
    assert not torch.equal(motion.frames[0], motion.frames[-1])


def test_every_frame_of_motion_becomes_a_frame(host, animate, hosted_model, reference, motion):
    samples = run(animate, hosted_model, reference, motion)
    assert samples.shape == (7, 48, 8, 8)
    (images,) = animate.DecodePortrait.execute(model=hosted_model, latents={"samples": samples}).args
    assert images.shape == (7, 32, 32, 3)
    assert 0 <= images.min() < images.max() <= 1
    assert host.progress[-1][0] == host.progress[-1][1] == 4  # two chunks of at most 6 frames, two steps


def test_the_seed_decides(animate, hosted_model, reference, motion):
    first = run(animate, hosted_model, reference, motion)
    assert torch.equal(first, run(animate, hosted_model, reference, motion))
    assert not torch.equal(first, run(animate, hosted_model, reference, motion, seed=2**64 - 1))


def test_connected_settings_replace_the_model_s_own(comfy, animate, hosted_model, reference, motion):
    guidance = comfy.module("nodes.guidance")
    fusion = guidance.SignalFusion.execute(identity=2.0, motion=3.0, continuity=1.5, start=0.1, end=0.9).args[0]
    windows = guidance.CyclicOverlapWindows.execute(
        length=5, overlap=3, cyclic=False, preview_frames=4, preview_steps=4
    ).args[0]
    history = guidance.HistoryFrames.execute(frames=2, chunk=40).args[0]
    settings = animate._settings(hosted_model, 5, 3, "euler", fusion, windows, history)
    expected = comfy.module("model_core.config").SamplingConfig(
        steps=3,
        scheduler="euler",
        seed=5,
        window=5,
        overlap=3,
        identity=2.0,
        motion=3.0,
        continuity=1.5,
        guidance_start=0.1,
        guidance_end=0.9,
        history=2,
        chunk=40,
        cyclic=False,
    )
    assert settings == expected
    plain = run(animate, hosted_model, reference, motion)
    assert not torch.equal(plain, run(animate, hosted_model, reference, motion, guidance=fusion))


def test_earlier_frames_are_continued(comfy, animate, hosted_model, reference, motion):
    guidance = comfy.module("nodes.guidance")
    history = guidance.HistoryFrames.execute(
        frames=1, chunk=6, images=torch.rand(2, 50, 50, 3), motion=motion.take([0, 1])
    ).args[0]
    encoded = animate._encoded_history(hosted_model, history)
    assert encoded.latents.shape == (1, 48, 8, 8)
    assert run(animate, hosted_model, reference, motion, history=history).shape == (7, 48, 8, 8)


def test_cancel_raises_comfyui_s_own_interrupt(host, animate, hosted_model, reference, motion, interrupted):
    host.cancelled = True
    with pytest.raises(interrupted):
        run(animate, hosted_model, reference, motion)


def test_motion_of_another_size_is_refused_before_sampling(host, animate, hosted_model, reference, motion):
    small = replace(motion, frames=motion.frames[..., :16, :16])
    with pytest.raises(animate.bridge.InputError, match="motion: is 16x16, model tiny takes 32x32"):
        run(animate, hosted_model, reference, small)
    assert host.loaded == []


def test_reference_of_another_model_is_refused(animate, hosted_model, reference, motion):
    config = replace(hosted_model.model.config, name="other")
    other = replace(hosted_model, model=replace(hosted_model.model, config=config))
    with pytest.raises(animate.bridge.InputError, match="encoded with model tiny, animated with other"):
        run(animate, other, reference, motion)


def test_foreign_latents_are_refused(animate, hosted_model):
    with pytest.raises(animate.bridge.InputError, match="latents: shape.*48 channels"):
        animate.DecodePortrait.execute(model=hosted_model, latents={"samples": torch.zeros(1, 4, 8, 8)})


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.rand(1, 63, 100, 3), "image: 100 x 63 pixels"),
        (torch.rand(2, 64, 64, 3), "image: one image is needed, got 2"),
        (torch.rand(1, 80, 64, 3), "track: found in an image of 64x64, the portrait is 64x80"),
    ],
)
def test_portrait_that_cannot_be_used_is_refused(comfy, hosted_model, track, image, message):
    reference = comfy.module("nodes.reference")
    with pytest.raises(reference.bridge.InputError, match=message):
        reference.EncodeReference.execute(model=hosted_model, image=image, framing="auto", track=track)
