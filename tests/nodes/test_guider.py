"""Windows, fusion and history inside a guider, driven by a sampler of two lines.

That the real samplers then give the numbers of our own loop is asked in ``tests/live``.
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch


@pytest.fixture(scope="module")
def nodes(comfy):
    return comfy.module("nodes.guider")


@pytest.fixture(scope="module")
def reference(comfy, hosted_model):
    encode = comfy.module("model_core.pipeline").encode_reference
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    encoded = encode(hosted_model.model, image, framing="full")
    return comfy.module("nodes.sockets").HostedReference(encoded, hosted_model.model)


@pytest.fixture(scope="module")
def motion(comfy):
    frames = torch.rand(7, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    return comfy.module("model_core.types").MotionSignal("parsing_map", frames)


@pytest.fixture
def calls(hosted_model, monkeypatch):
    """Every network call: frames and branch."""
    made = []
    plain = hosted_model.model.backbone.predict

    def counted(latents: Any, timestep: Any, conditioning: Any, branches: Any) -> Any:
        made.extend((latents.shape[1], branch.value) for branch in branches)
        return plain(latents, timestep, conditioning, branches)

    monkeypatch.setattr(hosted_model.model.backbone, "predict", counted)
    return made


@pytest.fixture
def setup(nodes, hosted_model, reference, motion):
    """``setup(**sockets)``: the guider and its empty latents, as the node gives them."""

    def make(**sockets: Any) -> Any:
        return nodes.PortraitGuider.execute(model=hosted_model, reference=reference, motion=motion, **sockets).args

    return make


def euler(model: Any, x: torch.Tensor, sigmas: torch.Tensor) -> torch.Tensor:
    for now, then in zip(sigmas[:-1], sigmas[1:], strict=True):
        clean = model(x, now.expand(len(x)))
        x = x + (x - clean) / now * (then - now)
    return x


def run(
    nodes: Any,
    hosted_model: Any,
    guider: Any,
    latents: Any,
    *,
    steps: int = 2,
    sampler: Any = euler,
    denoise: float = 1.0,
) -> Any:
    sigmas = nodes.PortraitSigmas.execute(model=hosted_model, steps=steps, denoise=denoise).args[0]
    noise = torch.randn(latents["samples"].shape, generator=torch.Generator().manual_seed(2))
    return guider.sample(noise, latents["samples"], sampler, sigmas)


def test_latents_are_empty_and_of_the_clip_s_shape(setup):
    _, latents = setup()
    assert latents["samples"].shape == (7, 48, 8, 8)
    assert not latents["samples"].any()


@pytest.fixture
def start_images():
    return torch.rand(7, 32, 32, 3, generator=torch.Generator().manual_seed(4))


def test_latents_are_those_of_the_start_images(comfy, host, nodes, setup, hosted_model, start_images, monkeypatch):
    monkeypatch.setattr(comfy.module("nodes.bridge.pictures"), "_FRAMES_AT_ONCE", 3)
    _, latents = setup(start_images=start_images)
    whole = hosted_model.model.autoencoder.encode(start_images.permute(0, 3, 1, 2) * 2 - 1)
    assert torch.equal(latents["samples"], whole) and latents["samples"].dtype == torch.float32
    (images,) = comfy.module("nodes.animate").DecodePortrait.execute(model=hosted_model, latents=latents).args
    torch.testing.assert_close(images, start_images)
    _, larger = setup(start_images=start_images.repeat_interleave(2, 1).repeat_interleave(2, 2))
    assert larger["samples"].shape == whole.shape
    assert host.loaded  # encoding needs the networks on the device


def test_start_images_of_another_length_are_refused(nodes, setup, start_images):
    with pytest.raises(nodes.bridge.InputError, match="start_images: 3 frames, the motion has 7"):
        setup(start_images=start_images[:3])
    with pytest.raises(nodes.bridge.InputError, match="start_images: NaN|start_images: .*infinite"):
        setup(start_images=torch.full_like(start_images, float("nan")))


def test_comfyui_s_own_denoise_starts_from_them_as_our_loop_does(
    comfy, nodes, setup, hosted_model, reference, motion, start_images
):
    """The same noise, latents and part of the schedule give the same frames on both ways."""
    guider, latents = setup(start_images=start_images)
    native = run(nodes, hosted_model, guider, latents, steps=3, denoise=0.5)
    sampling, base = comfy.module("model_core.sampling"), comfy.module("model_core.backbones.base")
    model = hosted_model.model
    noise = torch.randn(latents["samples"].shape, generator=torch.Generator().manual_seed(2))[None]
    ours = sampling.sample(
        model.backbone,
        model.backbone.prepare(base.AnimationInputs(reference.reference.encoded, motion, None)),
        noise,
        scheduler=sampling.make_scheduler(model.config.schedule, "euler"),
        steps=3,
        windows=sampling.make_windows(model.config.sampling),
        guidance=sampling.SignalFusion(),
        initial=latents["samples"][None],
        denoise=0.5,
    )[0]
    torch.testing.assert_close(native, ours, atol=1e-4, rtol=1e-4)
    guider, empty = setup()
    assert not torch.allclose(native, run(nodes, hosted_model, guider, empty, steps=3, denoise=0.5), atol=1e-2)


def test_the_loop_and_the_guider_predict_the_same(comfy, nodes, setup, hosted_model, reference, motion):
    """The noisy latents of every step of our loop, shown to the guider: overlapping windows, all branches, history."""
    module, model = comfy.module, hosted_model.model
    sampling, base = module("model_core.sampling"), module("model_core.backbones.base")
    images, frames = torch.rand(3, 32, 32, 3, generator=torch.Generator().manual_seed(5)), motion.take([0, 1, 2])
    history = module("nodes.guidance").HistoryFrames.execute(frames=2, chunk=6, images=images, motion=frames).args[0]
    scales = {"identity": 2.0, "motion": 2.5, "continuity": 1.5}
    fusion = module("nodes.guidance").SignalFusion.execute(**scales, start=0.0, end=0.7).args[0]
    windows = sampling.CyclicOverlap(4, 2, blend="linear")
    guider, latents = setup(guidance=fusion, windows=windows, history=history)
    noise = torch.randn(latents["samples"].shape, generator=torch.Generator().manual_seed(2))[None]
    before = module("nodes.settings").encoded_history(hosted_model, reference, history)
    noisy, clean = {}, {}

    def keep(event: Any) -> None:
        (clean if event.step_done else noisy)[event.step] = event.latents[0].clone()

    sampling.sample(
        model.backbone,
        model.backbone.prepare(base.AnimationInputs(reference.reference.encoded, motion, before)),
        noise,
        scheduler=sampling.make_scheduler(model.config.schedule, "euler"),
        steps=4,
        windows=windows,
        guidance=sampling.SignalFusion(**scales, end=0.7),
        observer=keep,
    )
    seen = []

    def shown_the_loop_s(model: Any, x: torch.Tensor, sigmas: torch.Tensor) -> torch.Tensor:
        for step, sigma in enumerate(sigmas[:-1]):
            seen.append(model(noisy[step], sigma.expand(len(x))))
        return x

    run(nodes, hosted_model, guider, latents, steps=4, sampler=shown_the_loop_s)
    for step in range(4):
        torch.testing.assert_close(seen[step], clean[step], atol=1e-5, rtol=1e-5, msg=f"step {step}")
    assert (seen[0] - seen[-1]).abs().max() > 0.1, "the steps differ, so equal ones mean something"


def test_windows_of_the_model_bound_what_a_call_sees(nodes, setup, hosted_model, calls):
    guider, latents = setup()
    assert run(nodes, hosted_model, guider, latents).shape == (7, 48, 8, 8)
    assert {branch for _, branch in calls} == {"d"}
    assert {frames for frames, _ in calls} == {4}  # the tiny model's window
    assert len(calls) == 2 + 3  # two windows at rest, three once they have moved by a frame


def test_branches_of_no_weight_are_not_called(comfy, nodes, setup, hosted_model, calls):
    fusion = comfy.module("nodes.guidance").SignalFusion.execute(
        identity=2.0, motion=2.0, continuity=1.0, start=0.0, end=0.5
    )
    guider, latents = setup(guidance=fusion.args[0])
    run(nodes, hosted_model, guider, latents)
    assert [branch for _, branch in calls] == ["u", "d"] * 2 + ["d"] * 3


def test_history_stands_before_the_first_window_only(comfy, nodes, setup, hosted_model, motion, calls):
    history = comfy.module("nodes.guidance").HistoryFrames.execute(
        frames=2, chunk=6, images=torch.rand(3, 40, 40, 3), motion=motion.take([0, 1, 2])
    )
    guider, latents = setup(history=history.args[0])
    run(nodes, hosted_model, guider, latents, steps=1)
    assert calls == [(4, "p"), (4, "d")]


def test_the_unguided_frames_reach_samplers_that_ask_for_them(comfy, nodes, setup, hosted_model):
    fusion = comfy.module("nodes.guidance").SignalFusion.execute(
        identity=3.0, motion=1.0, continuity=1.0, start=0.0, end=1.0
    )
    guider, latents = setup(guidance=fusion.args[0])
    seen = []

    def cfg_pp(model: Any, x: torch.Tensor, sigmas: torch.Tensor) -> torch.Tensor:
        def keep(args: Any) -> torch.Tensor:
            seen.append((args["denoised"], args["uncond_denoised"]))
            return args["denoised"]

        return model(x, sigmas[0].expand(len(x)), sampler_post_cfg_function=[keep])

    run(nodes, hosted_model, guider, latents, sampler=cfg_pp)
    ((fused, unguided),) = seen
    assert not torch.allclose(fused, unguided)


def test_windows_are_blended_by_their_own_weights(comfy, nodes, setup, hosted_model, monkeypatch):
    """Guided and unguided frames, with windows that trust their middle: every window answers with its own number."""
    guidance = comfy.module("nodes.guidance").SignalFusion.execute(
        identity=3.0, motion=1.0, continuity=1.0, start=0.0, end=1.0
    )
    windows = comfy.module("model_core.sampling.windows").CyclicOverlap(4, 2, blend="linear")
    guider, latents = setup(guidance=guidance.args[0], windows=windows)
    asked, seen = [], []

    def answer(x: torch.Tensor, t: Any, *, branch: Any, **_: Any) -> torch.Tensor:
        asked.append(branch.value)
        return torch.full_like(x, asked.count(branch.value) + (10.0 if branch.value == "u" else 0.0))

    def keep(args: Any) -> torch.Tensor:
        seen.append((args["denoised"], args["uncond_denoised"]))
        return args["denoised"]

    def once(model: Any, x: torch.Tensor, sigmas: torch.Tensor) -> torch.Tensor:
        return model(x, sigmas[1].expand(len(x)), sampler_post_cfg_function=[keep])  # windows have moved

    monkeypatch.setattr(hosted_model.patcher.model, "apply_model", answer)
    run(nodes, hosted_model, guider, latents, sampler=once)
    numbers, uneven = torch.zeros(7), 0.0
    for number, window in enumerate(windows.windows(1, 7), start=1):
        numbers[window.span] += number * torch.tensor(window.weights)
        uneven = max(uneven, max(weight for weight in window.weights if weight < 1))
    assert asked[:3] == ["u", "s", "d"] and uneven > 0.5, "a mean of all windows would be another one"
    ((fused, unguided),) = seen
    expected = numbers.view(-1, 1, 1, 1).expand_as(fused)
    torch.testing.assert_close(unguided, expected + 10)
    torch.testing.assert_close(fused, expected - 20)  # u + 3 (s - u) + (d - s)


def test_a_preview_for_every_step_and_a_bar_that_never_goes_back(host, nodes, setup, hosted_model):
    guider, latents = setup()

    def looks_ahead(model: Any, x: torch.Tensor, sigmas: torch.Tensor) -> torch.Tensor:
        for now, then in zip(sigmas[:-2], sigmas[1:-1], strict=True):
            model(x, now.expand(len(x)))
            model(x, then.expand(len(x)))
            model(x, ((now + then) / 2).expand(len(x)))  # between two steps: still the former
        return x

    run(nodes, hosted_model, guider, latents, steps=3, sampler=looks_ahead)
    told = [value for value, _, _ in host.progress]
    assert told == sorted(told)
    assert {total for _, total, _ in host.progress} == {3}
    assert any(value % 1 for value in told)
    assert len([preview for _, _, preview in host.progress if preview]) >= 3


def test_cancel_stops_before_the_next_call_and_leaves_nothing(host, nodes, setup, hosted_model, calls, interrupted):
    guider, latents = setup()

    def cancelled(model: Any, x: torch.Tensor, sigmas: torch.Tensor) -> torch.Tensor:
        model(x, sigmas[0].expand(len(x)))
        host.cancelled = True
        return model(x, sigmas[0].expand(len(x)))

    with pytest.raises(interrupted):
        run(nodes, hosted_model, guider, latents, sampler=cancelled)
    assert len(calls) == 2
    assert guider._run is None
    assert not {"inner_model", "conds", "loaded_models"} & set(vars(guider))
    host.cancelled = False
    assert run(nodes, hosted_model, guider, latents).isfinite().all()


def test_latents_of_another_length_are_refused(nodes, setup, hosted_model):
    guider, _ = setup()
    with pytest.raises(nodes.bridge.InputError, match="latent_image: 3 frames, the guider's motion has 7"):
        run(nodes, hosted_model, guider, {"samples": torch.zeros(3, 48, 8, 8)})


def test_motion_of_another_size_is_refused(comfy, nodes, hosted_model, reference):
    small = comfy.module("model_core.types").MotionSignal("parsing_map", torch.zeros(2, 3, 16, 16))
    with pytest.raises(nodes.bridge.InputError, match="motion: is 16x16, model tiny takes 32x32"):
        nodes.PortraitGuider.execute(model=hosted_model, reference=reference, motion=small)


@pytest.mark.parametrize("steps", [1, 4, 7, 20])
def test_sigmas_fall_from_the_model_s_top_to_nothing(nodes, hosted_model, steps):
    (sigmas,) = nodes.PortraitSigmas.execute(model=hosted_model, steps=steps, denoise=1.0).args
    assert sigmas.shape == (steps + 1,)
    assert (sigmas[:-1] > sigmas[1:]).all()
    assert sigmas[-1] == 0
    assert sigmas[0] == hosted_model.patcher.model.model_sampling.sigmas[-1]


def test_denoise_walks_the_last_part_in_as_many_steps(nodes, hosted_model):
    (whole,) = nodes.PortraitSigmas.execute(model=hosted_model, steps=10, denoise=1.0).args
    (half,) = nodes.PortraitSigmas.execute(model=hosted_model, steps=5, denoise=0.5).args
    assert torch.equal(half, whole[5:])


def test_sigmas_of_the_model_s_own_number_of_steps(nodes, hosted_model):
    own = hosted_model.model.config.sampling.steps
    (auto,) = nodes.PortraitSigmas.execute(model=hosted_model, steps=-1, denoise=1.0).args
    (said,) = nodes.PortraitSigmas.execute(model=hosted_model, steps=own, denoise=1.0).args
    assert torch.equal(auto, said) and len(auto) == own + 1
    with pytest.raises(nodes.bridge.InputError, match="steps: 0 leaves nothing to sample"):
        nodes.PortraitSigmas.execute(model=hosted_model, steps=0, denoise=1.0)


@pytest.mark.parametrize(
    ("kind", "base", "top"),
    [("sample", "X0", 4096.0), ("v_prediction", "V_PREDICTION", 4096.0), ("flow", "CONST", 1.0)],
)
def test_every_prediction_type_has_its_sampling(comfy, kind, base, top):
    native, config = comfy.module("nodes.bridge.native"), comfy.module("model_core.config")
    sampling = native.make_model_sampling(config.ScheduleConfig(prediction_type=kind))
    assert base in {parent.__name__ for parent in type(sampling).__mro__}
    if kind == "flow":
        assert sampling.timestep(torch.tensor(0.25)) == 250
    else:
        assert float(sampling.sigmas[-1]) == pytest.approx(top, rel=1e-3)


def test_noise_levels_come_back_as_the_trained_steps(comfy):
    native, config = comfy.module("nodes.bridge.native"), comfy.module("model_core.config")
    sampling = native.make_model_sampling(config.ScheduleConfig())
    steps = torch.tensor([0, 1, 400, 998, 999])
    assert torch.allclose(sampling.timestep(sampling.sigmas[steps]), steps.float(), atol=1e-3)
    between = (sampling.sigmas[400] + sampling.sigmas[401]) / 2
    assert float(sampling.timestep(between)) == pytest.approx(400.5, abs=1e-3)


def test_the_quick_preview_of_folded_latents_is_their_colour(comfy, hosted_model):
    factors = torch.tensor(hosted_model.patcher.model.latent_format.latent_rgb_factors)
    colour = torch.tensor([0.5, -0.25, 1.0]).reshape(1, 3, 1, 1).expand(1, 3, 32, 32)
    latents = hosted_model.model.autoencoder.encode(colour)
    assert torch.allclose(latents[0, :, 0, 0] @ factors, torch.tensor([0.5, -0.25, 1.0]), atol=1e-6)
    kl = SimpleNamespace(
        config=SimpleNamespace(autoencoder=SimpleNamespace(kind="kl")),
        backbone=SimpleNamespace(latent_spec=SimpleNamespace(channels=4)),
    )
    latent_format = comfy.module("nodes.bridge.native")._latent_format(kl)
    assert (latent_format.scale_factor, len(latent_format.latent_rgb_factors)) == (1.0, 4)


# --- models that start from the carried portrait --------------------------------------------------------------


def latents_of(pipeline, *args):
    """All latents of the loop, (F, C, h, w); the double's package has a copy of every class."""
    events = pipeline.sample_chunks(*args)
    return torch.cat([event.latents[0] for event in events if isinstance(event, pipeline.SampledChunk)])


@pytest.fixture
def carried(comfy, hosted_model, make_track):
    """A model that starts from the carried portrait, its guider's node inputs, and its own part of the loop."""
    load, models = comfy.module("nodes.bridge").load_model, comfy.module("model_core.models")
    config = models.read_config(comfy.models_dir / "portraits" / "tiny.safetensors")
    values = config.to_dict()
    values["schedule"]["prediction_type"] = "sample"
    values["backbone"].update(baseline=True, prediction_type="sample")
    torch.manual_seed(0)
    model = models.build_model(type(config).from_dict(values))
    for parameter in model.backbone.parameters():
        parameter.data.add_(torch.randn_like(parameter) * 0.1)
    path = comfy.models_dir / "portraits" / "carried.safetensors"
    models.save_model(model, path, dtype=torch.float32)
    hosted = load(path, "float32")
    types = comfy.module("model_core.types")

    def track(frames: int, size: int) -> Any:
        made = make_track(frames, size=size)  # of the package under its other name
        return types.FaceTrack(made.boxes, made.landmarks, made.confidence, made.detected, made.size)

    image = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(0))
    encode = comfy.module("nodes.reference").EncodeReference.execute
    reference, framed, _ = encode(model=hosted, image=image, framing="face", track=track(1, 64)).args
    draw = comfy.module("nodes.motion").ParsingMapMotion.execute
    motion, _ = draw(driving=track(10, 96), alignment="retarget", width=0, height=0, reference=framed).args
    return {"model": hosted, "reference": reference, "motion": motion}


def test_the_guider_starts_from_the_carried_portrait_as_our_loop_does(comfy, nodes, carried):
    model, pipeline = carried["model"].model, comfy.module("model_core.pipeline")
    sampling = replace(model.config.sampling, steps=2, scheduler="euler", seed=4, chunk=64)
    ours = latents_of(pipeline, model, carried["reference"].reference, carried["motion"], sampling)
    guider, _ = nodes.PortraitGuider.execute(**carried).args
    noise = comfy.module("model_core.sampling.noise").frame_noise((48, 8, 8), range(10), seed=4)[0]
    native = guider.sample(noise, torch.zeros_like(noise), euler, nodes.bridge.model_sigmas(carried["model"], 2))
    torch.testing.assert_close(native, ours, atol=1e-3, rtol=1e-3)
    other = latents_of(pipeline, model, carried["reference"].reference, carried["motion"].take([0] * 10), sampling)
    assert (native - other).abs().max() > 0.1, "the baseline decides"


def test_it_is_carried_once_a_run_a_few_frames_at_a_time(comfy, nodes, carried, monkeypatch):
    pipeline, seen = comfy.module("model_core.pipeline"), []
    plain = pipeline.carry_reference
    monkeypatch.setattr(
        pipeline,
        "carry_reference",
        lambda model, reference, motion: seen.append(len(motion)) or plain(model, reference, motion),
    )
    guider, latents = nodes.PortraitGuider.execute(**carried).args
    run(nodes, carried["model"], guider, latents, steps=3)
    assert seen == [8, 2]


def test_start_images_may_show_the_whole_portrait(comfy, nodes, carried):
    """Carry Portrait gives it; the model's frame is a part of it."""
    carry = comfy.module("nodes.animate").CarryPortrait.execute
    small, large = (
        nodes.PortraitGuider.execute(
            **carried, start_images=carry(reference=carried["reference"], motion=carried["motion"], size=size).args[0]
        ).args[1]["samples"]
        for size in ("model", "portrait")
    )
    assert small.shape == large.shape
    apart = (small - large).abs().mean()
    assert apart < 0.5 * (small - large.roll(1, -1)).abs().mean(), "another part of the portrait"


def test_history_and_a_missing_face_with_such_a_model(comfy, nodes, carried):
    images = torch.rand(3, 64, 64, 3)
    history = comfy.module("nodes.guidance").HistoryFrames.execute(
        frames=2, chunk=6, images=images, motion=carried["motion"].take([0, 1, 2])
    )
    guider, latents = nodes.PortraitGuider.execute(**carried, history=history.args[0]).args
    assert run(nodes, carried["model"], guider, latents).isfinite().all()
    with pytest.raises(nodes.bridge.InputError, match="motion: carries no landmarks"):
        nodes.PortraitGuider.execute(**{**carried, "motion": replace(carried["motion"], landmarks=None)})
