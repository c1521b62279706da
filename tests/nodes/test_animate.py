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


def test_numbers_out_of_range_are_an_error_that_says_what_to_do(comfy, animate, hosted_model, reference, motion):
    wrong, model = comfy.module("model_core.errors").NotFiniteError, hosted_model.model
    last = model.backbone.denoiser.unet.conv_out.bias
    before = last.clone()
    try:
        last.fill_(float("nan"))
        with pytest.raises(wrong, match="model tiny: made latents with NaN"):
            run(animate, hosted_model, reference, motion)
    finally:
        last.copy_(before)
    latents = {"samples": torch.full((2, 48, 8, 8), float("inf"))}
    with pytest.raises(wrong, match="model tiny: made latents with NaN or infinite numbers in float32"):
        animate.DecodePortrait.execute(model=hosted_model, latents=latents)


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
    settings = animate.sampling_settings(hosted_model, fusion, windows, history, seed=5, steps=3, scheduler="euler")
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


def test_the_widgets_of_a_new_node_are_the_model_s_own(animate, hosted_model):
    widgets = {socket.id: socket.options.get("default") for socket in animate.AnimatePortrait.define_schema().inputs}
    chosen = {name: widgets[name] for name in ("steps", "scheduler", "denoise")}
    assert chosen == {"steps": -1, "scheduler": "auto", "denoise": 1.0}
    own = replace(hosted_model.model.config.sampling, scheduler="lcm", steps=3)
    model = replace(
        hosted_model, model=replace(hosted_model.model, config=replace(hosted_model.model.config, sampling=own))
    )
    assert animate.sampling_settings(model, None, None, None, **chosen) == own
    none = animate.sampling_settings(model, None, None, None, steps=0, scheduler="ddim", denoise=0.25)
    assert none == replace(own, steps=0, scheduler="ddim", denoise=0.25)


def test_denoise_reaches_the_loop(comfy, animate, hosted_model, reference, motion, monkeypatch):
    with pytest.raises(animate.bridge.InputError, match="denoise 0.5: .*carried portrait"):
        run(animate, hosted_model, reference, replace(motion, landmarks=None), denoise=0.5)
    assert torch.equal(
        run(animate, hosted_model, reference, motion), run(animate, hosted_model, reference, motion, denoise=1.0)
    )
    pipeline, seen = comfy.module("model_core.pipeline"), []

    def keep(backbone, conditioning, noise, **given):
        seen.append(given["denoise"])
        return noise
        yield  # a generator, as the loop is

    monkeypatch.setattr(pipeline, "sample_steps", keep)
    run(animate, hosted_model, reference, motion, denoise=0.5)
    assert seen == [0.5, 0.5]


def test_earlier_frames_are_continued(comfy, animate, hosted_model, reference, motion):
    guidance = comfy.module("nodes.guidance")
    history = guidance.HistoryFrames.execute(
        frames=1, chunk=6, images=torch.rand(2, 50, 50, 3), motion=motion.take([0, 1])
    ).args[0]
    encoded = animate.encoded_history(hosted_model, reference[0], history)
    assert encoded.latents.shape == (1, 48, 8, 8)
    assert run(animate, hosted_model, reference, motion, history=history).shape == (7, 48, 8, 8)


def test_cancel_raises_comfyui_s_own_interrupt(host, animate, hosted_model, reference, motion, interrupted):
    host.cancelled = True
    with pytest.raises(interrupted):
        run(animate, hosted_model, reference, motion)


def test_cancel_stops_between_the_branches_of_a_window(
    host, comfy, animate, hosted_model, reference, motion, interrupted
):
    fusion = comfy.module("nodes.guidance").SignalFusion.execute(
        identity=2.0, motion=3.0, continuity=1.0, start=0.0, end=1.0
    )
    calls = []

    class Cancelling(type(hosted_model.model.backbone)):
        def predict(self, *args):
            calls.extend(args[3])
            host.cancelled = True  # while the first branch runs
            return super().predict(*args)

    backbone = hosted_model.model.backbone
    plain, backbone.__class__ = type(backbone), Cancelling
    try:
        with pytest.raises(interrupted):
            run(animate, hosted_model, reference, motion, guidance=fusion.args[0])
    finally:
        backbone.__class__ = plain
    assert len(calls) == 1


def test_images_are_the_latents_decoded_a_few_at_a_time(
    host, comfy, animate, hosted_model, reference, motion, monkeypatch
):
    monkeypatch.setattr(comfy.module("nodes.bridge.pictures"), "_FRAMES_AT_ONCE", 3)
    sizes = []
    plain = hosted_model.model.autoencoder.decode

    def counted(latents):
        sizes.append(len(latents))
        return plain(latents)

    monkeypatch.setattr(hosted_model.model.autoencoder, "decode", counted)
    latents, images = animate.AnimatePortrait.execute(
        model=hosted_model, reference=reference[0], motion=motion, seed=1, steps=1, scheduler="ddim", size="model"
    ).args
    assert sizes[-3:] == [3, 3, 1]
    whole = comfy.module("model_core.pipeline").decode(hosted_model.model, latents["samples"][None])
    assert torch.equal(images, animate.bridge.to_image(whole))


def test_the_log_tells_calls_and_memory_before_sampling(host, animate, hosted_model, reference, motion, caplog):
    with caplog.at_level("INFO"):
        run(animate, hosted_model, reference, motion)
    assert "tiny: 7 frames, 2 steps, 2 chunk(s)" in caplog.text
    assert "network calls; about" in caplog.text


@pytest.mark.parametrize(
    ("steps", "scheduler", "message"),
    [
        (51, "lcm", "steps 51: the scheduler lcm makes at most 50"),
        (-2, "ddim", "steps: -2 is out of range; choose from -1 to 1000"),
        (1001, "auto", "steps: 1001 is out of range"),
        (4, "magic", "scheduler: 'magic' is not there; choose one of auto, "),
    ],
)
def test_what_cannot_be_sampled_is_refused_before_the_model_is_loaded(
    host, animate, hosted_model, reference, motion, steps, scheduler, message
):
    with pytest.raises(animate.bridge.InputError, match=message):
        run(animate, hosted_model, reference, motion, steps=steps, scheduler=scheduler)
    assert host.loaded == []


def test_lcm_of_the_model_s_own_choice_has_its_limit_too(comfy, hosted_model):
    settings = comfy.module("nodes.settings")
    sampling = replace(hosted_model.model.config.sampling, scheduler="lcm")
    model = replace(hosted_model.model, config=replace(hosted_model.model.config, sampling=sampling))
    with pytest.raises(settings.bridge.InputError, match="steps 51"):
        settings.sampling_settings(replace(hosted_model, model=model), None, None, None, steps=51, scheduler="auto")


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


# --- the result's size ---------------------------------------------------------------------------------------


def images_of(animate, hosted_model, reference, motion, **settings):
    values = {"seed": 1, "steps": 2, "scheduler": "ddim", **settings}
    return animate.AnimatePortrait.execute(model=hosted_model, reference=reference, motion=motion, **values).args


@pytest.mark.parametrize(("size", "side"), [("portrait", 64), ("model", 32), ("512", 512)])
def test_images_have_the_size_that_is_asked_for(animate, hosted_model, reference, motion, size, side):
    latents, images = images_of(animate, hosted_model, reference[0], motion, size=size)
    assert images.shape == (7, side, side, 3) and images.isfinite().all()
    assert latents["samples"].shape == (7, 48, 8, 8)
    decode = animate.DecodePortrait.execute
    (again,) = decode(model=hosted_model, latents=latents, reference=reference[0], motion=motion, size=size).args
    assert torch.equal(images, again), "the native path ends as the loop does"


def test_a_portrait_without_a_face_comes_at_the_model_s_size_and_the_log_says_so(
    animate, hosted_model, reference, motion, caplog
):
    faceless = replace(reference[0], reference=replace(reference[0].reference, layers=None, original=None, track=None))
    _, images = images_of(animate, hosted_model, faceless, motion)
    assert images.shape == (7, 32, 32, 3)
    assert "size portrait: the portrait's face is not known" in caplog.text
    _, images = images_of(animate, hosted_model, reference[0], replace(motion, landmarks=None))
    assert images.shape == (7, 32, 32, 3)
    assert "the motion carries no landmarks" in caplog.text


@pytest.mark.parametrize("size", ["portrait", "model"])
def test_no_steps_at_all_are_the_carried_portrait(animate, hosted_model, reference, motion, size):
    _, images = images_of(animate, hosted_model, reference[0], motion, steps=0, size=size)
    carried, validity = animate.CarryPortrait.execute(reference=reference[0], motion=motion, size=size).args
    torch.testing.assert_close(images, carried, atol=1e-5, rtol=0)
    assert validity.shape == images.shape[:3] and 0 <= validity.min() <= validity.max() <= 1
    assert not torch.equal(carried[0], carried[-1])


def test_carrying_loads_no_model_and_moves_the_bar(host, animate, reference, motion):
    animate.CarryPortrait.execute(reference=reference[0], motion=motion)
    assert host.loaded == []
    assert [value for value, _, _ in host.progress] == list(range(1, 8))


def test_cancel_stops_carrying(host, animate, reference, motion, interrupted):
    host.cancelled = True
    with pytest.raises(interrupted):
        animate.CarryPortrait.execute(reference=reference[0], motion=motion)


def test_what_cannot_be_carried_is_named(animate, reference, motion):
    carry, error = animate.CarryPortrait.execute, animate.bridge.InputError
    faceless = replace(reference[0], reference=replace(reference[0].reference, layers=None))
    with pytest.raises(error, match="reference: its face is not known; connect the track of Analyze Faces"):
        carry(reference=faceless, motion=motion)
    with pytest.raises(error, match="motion: carries no landmarks"):
        carry(reference=reference[0], motion=replace(motion, landmarks=None))
    with pytest.raises(error, match="motion: is 16x32, the reference 32x32; connect .*framed_track"):
        carry(reference=reference[0], motion=replace(motion, frames=motion.frames[..., :16]))


def test_decoding_needs_both_or_neither_and_what_belongs_together(animate, hosted_model, reference, motion):
    decode, error = animate.DecodePortrait.execute, animate.bridge.InputError
    latents = {"samples": torch.zeros(7, 48, 8, 8)}
    with pytest.raises(error, match="motion: Decode Portrait needs reference and motion"):
        decode(model=hosted_model, latents=latents, reference=reference[0])
    with pytest.raises(error, match="reference: Decode Portrait needs reference and motion"):
        decode(model=hosted_model, latents=latents, motion=motion)
    with pytest.raises(error, match="latents: 7 frames, the motion has 3"):
        decode(model=hosted_model, latents=latents, reference=reference[0], motion=motion.take(range(3)))


def test_earlier_frames_of_the_whole_portrait_are_cut_to_what_the_model_sees(animate, reference):
    cropped = replace(reference[0].reference, window=(16, -8, 32, 32))
    images = torch.arange(128.0).expand(1, 3, 128, 128)  # twice the portrait's size; columns count up
    seen = animate.bridge.as_the_model_sees(cropped, images, size=(32, 32))
    assert torch.equal(seen[0, 0, 0], torch.arange(32.0, 96.0)) and seen.shape == (1, 3, 64, 64)
    rows = animate.bridge.as_the_model_sees(cropped, images.transpose(2, 3), size=(32, 32))[0, 0, :, 0]
    assert torch.equal(rows, (torch.arange(64.0) - 16).clamp(min=0)), "the border is repeated"
    for other in (torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 64, 80)):  # the model's frame; another shape
        assert animate.bridge.as_the_model_sees(cropped, other, size=(32, 32)) is other


# --- models that start from the carried portrait --------------------------------------------------------------


@pytest.fixture
def carrying(hosted_model, monkeypatch):
    """The tiny model as one that says it starts from the carried portrait."""
    backbone = type(hosted_model.model.backbone)
    monkeypatch.setattr(backbone, "uses_baseline", property(lambda self: True))
    return hosted_model


def test_such_a_model_refuses_what_has_no_face_before_it_is_loaded(host, animate, carrying, reference, motion):
    faceless = replace(reference[0], reference=replace(reference[0].reference, layers=None))
    with pytest.raises(animate.bridge.InputError, match="reference: model tiny starts from .* connect the track"):
        images_of(animate, carrying, faceless, motion)
    with pytest.raises(animate.bridge.InputError, match="motion: carries no landmarks.* make it with Parsing Map"):
        images_of(animate, carrying, reference[0], replace(motion, landmarks=None))
    assert host.loaded == []


def test_moving_a_reference_leaves_its_pictures_alone(animate, hosted_model, reference):
    kept = reference[0].reference
    for moved in (animate.bridge.to_rest(kept), animate.bridge.to_compute(kept, hosted_model)):
        assert moved.original.pixels is kept.original.pixels
        assert moved.layers.image is kept.layers.image and moved.layers.mesh is kept.layers.mesh
