"""The whole line on a tiny random model: chunks, history, noise, determinism, cancelling."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from model_core import pipeline
from model_core.config import SamplingConfig
from model_core.errors import CancelledError, InputError, NotFiniteError
from model_core.images import to_uint8
from model_core.models import PortraitModel, build_model
from model_core.motion.parsing_map import label_map
from model_core.motion.scenes import MotionSettings, PlacedMotion, place_scenes
from model_core.pipeline import (
    DrivingMotion,
    FinishedChunk,
    Plan,
    animate,
    baseline_of,
    carry_reference,
    clip_chunks,
    drive,
    encode_reference,
    finisher_of,
)
from model_core.sampling import carry_history
from model_core.types import FaceTrack, MotionSignal, ReferenceInputs, StepEvent
from tests.whole_line import all_frames, all_latents, chunks_of_frames, latents_of, signal_of

Animate = Callable[..., Tensor]


@pytest.fixture
def portrait() -> Tensor:
    return torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(7)) * 2 - 1


@pytest.fixture
def animated(tiny_model: PortraitModel, portrait: Tensor, make_track: Callable[..., FaceTrack]) -> Animate:
    """``animated(frames, **settings)``: all frames at once."""

    def run(frames: int, *, driving: FaceTrack | None = None, observer: Any = None, **settings: Any) -> Tensor:
        sampling = dataclasses.replace(tiny_model.config.sampling, **settings)
        driving = driving or make_track(frames)
        told = {} if observer is None else {"observer": observer}
        return all_frames(tiny_model, portrait, driving, track=make_track(1), sampling=sampling, framing="full", **told)

    return run


@pytest.mark.parametrize("frames", [1, 3, 4, 13])
def test_every_driving_frame_becomes_one_frame_in_range(animated: Animate, frames: int) -> None:
    made = animated(frames)
    assert made.shape == (frames, 3, 32, 32) and made.dtype == torch.float32
    assert made.isfinite().all() and made.abs().max() <= 1 and made.std() > 0.01


def test_frames_come_chunk_by_chunk(
    tiny_model: PortraitModel, portrait: Tensor, make_track: Callable[..., FaceTrack]
) -> None:
    chunks = chunks_of_frames(tiny_model, portrait, make_track(13), track=make_track(1))
    assert [len(chunk) for chunk in chunks] == [4, 4, 5]


def count(monkeypatch: pytest.MonkeyPatch, target: Any, name: str) -> list[tuple[Any, ...]]:
    """The positional arguments of every call from now on."""
    calls: list[tuple[Any, ...]] = []
    original = getattr(target, name)

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        return original(*args, **kwargs)

    monkeypatch.setattr(target, name, counted)
    return calls


def test_the_reference_is_encoded_once_and_a_chunk_prepared_once(
    tiny_model: PortraitModel, animated: Animate, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = count(monkeypatch, tiny_model.backbone, "encode_reference")
    prepared = count(monkeypatch, tiny_model.backbone, "prepare")
    animated(13, chunk=6, history=2)
    assert len(encoded) == 1
    histories = [inputs.history for (inputs,) in prepared]
    assert [None if history is None else len(history) for history in histories] == [None, 2, 2]


def test_history_is_the_end_of_the_chunk_before(
    tiny_model: PortraitModel, portrait: Tensor, make_track: Callable[..., FaceTrack], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = count(monkeypatch, tiny_model.backbone, "prepare")
    reference = encode_reference(tiny_model, portrait, track=make_track(1), framing="full")
    motion = signal_of(tiny_model, make_track(12), reference=reference.track)
    first, _ = latents_of(tiny_model, reference, motion, tiny_model.config.sampling)
    (_,), (second,) = prepared
    assert torch.equal(second.history.latents, first[0, -2:])
    assert torch.equal(second.history.motion, motion.frames[4:6])
    assert torch.equal(second.motion.frames, motion.frames[6:])


def test_history_reaches_the_next_chunk_only(animated: Animate) -> None:
    with_history, without = animated(12, history=2), animated(12, history=0)
    assert torch.equal(with_history[:6], without[:6])
    assert not torch.allclose(with_history[6:], without[6:], atol=1e-3)


def test_a_frames_noise_does_not_depend_on_the_chunks(animated: Animate, monkeypatch: pytest.MonkeyPatch) -> None:
    def noise_of(**settings: int) -> Tensor:
        seen: list[Tensor] = []

        def keep(backbone: Any, conditioning: Any, noise: Tensor, **_: Any) -> Iterator[StepEvent]:
            seen.append(noise)
            return noise
            yield  # a generator, as the loop is

        with monkeypatch.context() as patch:
            patch.setattr(pipeline, "sample_steps", keep)
            animated(13, **settings)
        return torch.cat(seen, dim=1)

    whole = noise_of(chunk=64)
    assert whole.shape == (1, 13, 48, 8, 8)
    assert torch.equal(noise_of(chunk=4), whole) and torch.equal(noise_of(chunk=7), whole)
    assert not torch.equal(noise_of(chunk=64, seed=1), whole)
    assert not torch.equal(whole[:, 0], whole[:, 1])


def test_a_seed_is_a_result(animated: Animate) -> None:
    first = animated(9)
    assert torch.equal(animated(9), first)
    assert not torch.allclose(animated(9, seed=1), first, atol=1e-3)


def test_the_driving_face_drives(animated: Animate, make_track: Callable[..., FaceTrack]) -> None:
    moving = make_track(4)
    # random weights heed a small map but little; what is not connected gives the same bits
    assert not torch.equal(animated(4, driving=moving.take([0, 0, 0, 0])), animated(4, driving=moving))


def test_the_portrait_counts(
    tiny_model: PortraitModel, animated: Animate, portrait: Tensor, make_track: Callable[..., FaceTrack]
) -> None:
    other = chunks_of_frames(
        tiny_model, -portrait, make_track(3), track=make_track(1), framing="full", sampling=tiny_model.config.sampling
    )
    assert not torch.allclose(torch.cat(list(other)), animated(3), atol=1e-3)


def test_cancelling_stops_at_once_and_leaves_nothing_behind(
    tiny_model: PortraitModel, animated: Animate, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = animated(9)
    predicted = count(monkeypatch, tiny_model.backbone, "predict")
    events: list[StepEvent] = []

    def stop(event: StepEvent) -> None:
        events.append(event)
        if len(events) == 2:
            raise CancelledError("stopped")

    with pytest.raises(CancelledError):
        animated(9, observer=stop)
    assert len(events) == 2 and 1 <= len(predicted) <= 2
    assert torch.equal(animated(9), before)


def test_observers_are_told_of_every_window_and_step(animated: Animate) -> None:
    events: list[StepEvent] = []
    animated(6, observer=events.append, steps=3)
    assert sum(event.step_done for event in events) == 3
    assert {event.steps for event in events} == {3}
    windows = [event for event in events if not event.step_done]
    assert [event.window for event in windows if event.step == 0] == list(range(1, windows[0].windows + 1))


def test_the_whole_clip_is_its_chunks(
    tiny_model: PortraitModel, portrait: Tensor, make_track: Callable[..., FaceTrack]
) -> None:
    reference = encode_reference(tiny_model, portrait, track=make_track(1), framing="full")
    motion = signal_of(tiny_model, make_track(9))
    sampling = SamplingConfig(steps=1, window=4, overlap=1, chunk=5, history=1)
    chunks = list(latents_of(tiny_model, reference, motion, sampling))
    assert len(chunks) == 2
    assert torch.equal(all_latents(tiny_model, reference, motion, sampling), torch.cat(chunks, dim=1))


def test_the_line_says_what_it_does_as_it_does_it(
    tiny_model: PortraitModel, portrait: Tensor, make_track: Callable[..., FaceTrack]
) -> None:
    reference = encode_reference(tiny_model, portrait, track=make_track(1), framing="full")
    motion = drive(tiny_model, reference, make_track(9))
    sampling = SamplingConfig(steps=2, window=4, overlap=1, chunk=5, history=1, scheduler="ddim")
    events = list(animate(tiny_model, reference, motion, sampling, finisher=finisher_of(reference, "model")))
    plan = events[0]
    assert isinstance(plan, Plan) and plan.finished == 0 and plan.chunks == clip_chunks(9, sampling)
    assert plan.motion is motion
    finished = [number for number, event in enumerate(events) if isinstance(event, FinishedChunk)]
    assert [events[number].chunk for number in finished] == plan.chunks  # type: ignore[union-attr]
    for number in finished:  # a chunk follows its own steps
        before = events[number - 1]
        assert isinstance(before, StepEvent) and before.step_done and before.step == 1


def test_nothing_is_sampled_before_it_is_asked_for(
    tiny_model: PortraitModel,
    portrait: Tensor,
    make_track: Callable[..., FaceTrack],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reference = encode_reference(tiny_model, portrait, track=make_track(1), framing="full")
    motion = drive(tiny_model, reference, make_track(9))
    predicted = count(monkeypatch, tiny_model.backbone, "predict")
    decoded = count(monkeypatch, tiny_model.autoencoder, "decode")
    events = animate(
        tiny_model, reference, motion, tiny_model.config.sampling, finisher=finisher_of(reference, "model")
    )
    assert isinstance(next(events), Plan) and not predicted
    assert isinstance(next(events), StepEvent) and len(predicted) == 1 and not decoded
    chunk = next(event for event in events if isinstance(event, FinishedChunk))
    assert not decoded
    assert len(list(chunk.frames)) == len(chunk.chunk) and decoded


def test_windows_too_long_for_the_model_are_refused_with_a_remedy(animated: Animate) -> None:
    with pytest.raises(InputError, match="shorter window"):
        animated(16, window=16, overlap=4, chunk=16)


def test_a_portrait_without_its_face_is_refused_where_the_model_needs_it(
    tiny_model: PortraitModel, portrait: Tensor
) -> None:
    with pytest.raises(InputError, match="analyse its face"):
        encode_reference(tiny_model, portrait)


def test_masked_frames_need_the_driving_frames(tiny_model: PortraitModel, make_track: Callable[..., FaceTrack]) -> None:
    masked = build_model(dataclasses.replace(tiny_model.config, motion_kind="masked_frames"))
    with pytest.raises(InputError, match="connect the driving frames"):
        signal_of(masked, make_track(2))
    signal = signal_of(masked, make_track(2), frames=torch.rand(2, 3, 64, 64))
    assert signal.kind == "masked_frames" and signal.frames.shape == (2, 3, 32, 32)


@pytest.mark.parametrize(("kind", "channels"), [("drawn_landmarks", 3), ("split_landmarks", 6)])
def test_the_motion_is_drawn_as_the_model_s_config_says(
    tiny_model: PortraitModel, make_track: Callable[..., FaceTrack], kind: Any, channels: int
) -> None:
    model = dataclasses.replace(tiny_model, config=dataclasses.replace(tiny_model.config, motion_kind=kind))
    signal = signal_of(model, make_track(2), reference=make_track(1, size=32))
    assert signal.kind == kind and signal.frames.shape == (2, channels, 32, 32)


def test_another_motion_than_the_model_s_is_refused_before_sampling(
    tiny_model: PortraitModel, portrait: Tensor, make_track: Callable[..., FaceTrack]
) -> None:
    reference = encode_reference(tiny_model, portrait, track=make_track(1), framing="full")
    drawn = MotionSignal("drawn_landmarks", torch.zeros(2, 3, 32, 32))
    with pytest.raises(InputError, match="takes parsing_map; connect Parsing Map Motion instead of Drawn Landmarks"):
        next(latents_of(tiny_model, reference, drawn, tiny_model.config.sampling))


def alike(one: Tensor, other: Tensor) -> float:
    """Cosine of two pictures."""
    return float(torch.nn.functional.cosine_similarity(one.flatten(), other.flatten(), dim=0))


@pytest.mark.parametrize("framing", ["full", "face"])
def test_a_portrait_s_label_map_is_framed_as_its_landmarks_are(
    tiny_model: PortraitModel,
    portrait: Tensor,
    make_track: Callable[..., FaceTrack],
    monkeypatch: pytest.MonkeyPatch,
    framing: Any,
) -> None:
    track = make_track(1)
    labels = label_map(track.landmarks[0], track.size, track.size)[None]
    seen: list[ReferenceInputs] = []
    monkeypatch.setattr(tiny_model.backbone, "encode_reference", seen.append)
    for known in (track, dataclasses.replace(track, label_maps=labels)):
        encode_reference(tiny_model, portrait, track=known, framing=framing)
    drawn, parsed = (inputs.motion for inputs in seen)
    assert drawn is not None and parsed is not None and parsed.shape == (1, 3, 32, 32)
    assert alike(drawn, parsed) > 0.9 > alike(drawn.roll(3, -1), parsed)


def test_a_parser_s_map_drives_at_the_portrait_s_place(
    tiny_model: PortraitModel, make_track: Callable[..., FaceTrack]
) -> None:
    driving, reference = make_track(3, size=128), make_track(1, size=32)
    maps = np.stack([label_map(points, driving.size, driving.size) for points in driving.landmarks])
    drawn = signal_of(tiny_model, driving, reference=reference).frames
    parsed = signal_of(tiny_model, dataclasses.replace(driving, label_maps=maps), reference=reference).frames
    # carried pixel by pixel at 32 x 32, no edge is antialiased
    assert alike(drawn, parsed) > 0.8 > alike(drawn.roll(3, -1), parsed)
    assert not torch.equal(drawn, parsed)


def on_demand(
    model: PortraitModel, driving: FaceTrack, reference: FaceTrack, settings: MotionSettings, read: Any = None
) -> DrivingMotion:
    placed = PlacedMotion(driving, place_scenes(driving, reference, settings), reference, settings)
    return DrivingMotion(model.config, placed, read)


def test_motion_drawn_on_demand_is_the_motion_drawn_at_once(
    tiny_model: PortraitModel, make_track: Callable[..., FaceTrack]
) -> None:
    driving, reference = make_track(9), make_track(1, size=32)
    whole = signal_of(tiny_model, driving, reference=reference)
    lazy = on_demand(tiny_model, driving, reference, MotionSettings())
    assert len(lazy) == 9
    for start, stop in ((0, 9), (2, 3), (4, 9)):
        part = lazy.take(range(start, stop))
        assert torch.equal(part.frames, whole.frames[start:stop])
        assert np.array_equal(part.landmarks, whole.landmarks[start:stop])  # type: ignore[index,arg-type]


def test_each_scene_is_placed_by_its_own_rest(tiny_model: PortraitModel, make_track: Callable[..., FaceTrack]) -> None:
    driving, reference, settings = make_track(9), make_track(1, size=32), MotionSettings()
    whole = signal_of(tiny_model, driving, reference=reference).frames
    second = signal_of(tiny_model, driving.take(range(4, 9)), reference=reference).frames
    (here,) = place_scenes(driving, reference, settings)
    (there,) = place_scenes(driving.take(range(4, 9)), reference, settings)
    scenes = [here, dataclasses.replace(there, start=4)]
    cut = DrivingMotion(tiny_model.config, PlacedMotion(driving, scenes, reference, settings))
    assert torch.equal(cut.take(range(2, 6)).frames, torch.cat([whole[2:4], second[:2]]))


@pytest.mark.parametrize("placing", ["relative", "absolute", "retarget"])
@pytest.mark.parametrize("kind", ["drawn_landmarks", "split_landmarks", "parsing_map"])
def test_motion_of_every_placing_on_demand_is_that_drawn_at_once(
    tiny_model: PortraitModel, make_track: Callable[..., FaceTrack], kind: Any, placing: Any
) -> None:
    model = dataclasses.replace(tiny_model, config=dataclasses.replace(tiny_model.config, motion_kind=kind))
    driving, reference, settings = make_track(5), make_track(1, size=32), MotionSettings(placing=placing)
    whole = signal_of(model, driving, reference=reference, settings=settings).frames
    assert torch.equal(on_demand(model, driving, reference, settings).take(range(2, 5)).frames, whole[2:5])


def test_masked_frames_on_demand_read_the_frames_they_need(
    tiny_model: PortraitModel, make_track: Callable[..., FaceTrack], square_frames: Callable[..., Any]
) -> None:
    masked = build_model(dataclasses.replace(tiny_model.config, motion_kind="masked_frames"))
    driving, reference, frames = make_track(6), make_track(1, size=32), square_frames(6, size=64)
    asked: list[tuple[int, int]] = []

    def read(start: int, stop: int) -> Any:
        asked.append((start, stop))
        return (frames[at : min(at + 2, stop)] for at in range(start, stop, 2))

    part = on_demand(masked, driving, reference, MotionSettings(), read).take(range(1, 4))
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2) / 127.5 - 1
    whole = signal_of(masked, driving, reference=reference, frames=pixels).frames
    assert asked == [(1, 4)] and torch.allclose(part.frames, whole[1:4], atol=1e-5)
    with pytest.raises(InputError, match="connect the driving frames"):
        on_demand(masked, driving, reference, MotionSettings()).take(range(3))


def test_a_clip_goes_on_where_it_was_left(
    tiny_model: PortraitModel, portrait: Tensor, make_track: Callable[..., FaceTrack]
) -> None:
    reference = encode_reference(tiny_model, portrait, track=make_track(1), framing="full")
    motion = signal_of(tiny_model, make_track(16), reference=reference.track)
    sampling = dataclasses.replace(tiny_model.config.sampling, chunk=6, scheduler="lcm")
    whole = list(latents_of(tiny_model, reference, motion, sampling))
    first, *_ = clip_chunks(16, sampling)
    history = carry_history(whole[0], motion.take(range(first.stop)), sampling.history)
    rest = latents_of(tiny_model, reference, motion, sampling, history=history, first_chunk=1)
    assert [torch.equal(a, b) for a, b in zip(rest, whole[1:], strict=True)] == [True, True]


def test_each_chunk_starts_from_its_own_frames(
    tiny_model: PortraitModel, portrait: Tensor, make_track: Callable[..., FaceTrack]
) -> None:
    reference = encode_reference(tiny_model, portrait, track=make_track(1), framing="full")
    motion = signal_of(tiny_model, make_track(16), reference=reference.track)
    sampling = dataclasses.replace(tiny_model.config.sampling, chunk=6, denoise=0.5)
    carried = torch.randn(16, 48, 8, 8, generator=torch.Generator().manual_seed(1))
    asked: list[range] = []

    def initial(frames: range) -> Tensor:
        asked.append(frames)
        return carried[list(frames)]

    whole = list(latents_of(tiny_model, reference, motion, sampling, initial=initial))
    assert asked == [range(0, 5), range(5, 10), range(10, 16)]
    history = carry_history(whole[0], motion.take(range(5)), sampling.history)
    rest = latents_of(tiny_model, reference, motion, sampling, history=history, first_chunk=1, initial=initial)
    assert [torch.equal(a, b) for a, b in zip(rest, whole[1:], strict=True)] == [True, True]
    assert asked[3:] == asked[1:3]
    changed = carried.clone()
    changed[7] += 1
    other = list(latents_of(tiny_model, reference, motion, sampling, initial=lambda frames: changed[list(frames)]))
    assert torch.equal(other[0], whole[0]) and not torch.allclose(other[1], whole[1], atol=1e-3)


def test_pure_noise_asks_for_no_frames_and_a_part_of_the_schedule_needs_them(
    tiny_model: PortraitModel, portrait: Tensor, make_track: Callable[..., FaceTrack]
) -> None:
    reference = encode_reference(tiny_model, portrait, track=make_track(1), framing="full")
    motion, sampling = signal_of(tiny_model, make_track(4)), tiny_model.config.sampling

    def never(frames: range) -> Tensor:
        raise AssertionError(frames)

    made = all_latents(tiny_model, reference, motion, sampling, initial=never)
    assert torch.equal(made, all_latents(tiny_model, reference, motion, sampling))
    part = dataclasses.replace(sampling, denoise=0.5)
    moved = carry_reference(tiny_model, reference, motion)
    assert moved is not None
    carried = baseline_of(tiny_model, moved)
    started = all_latents(tiny_model, reference, motion, part)  # from the carried portrait, where none is given
    given = all_latents(tiny_model, reference, motion, part, initial=lambda f: carried.latents[f.start : f.stop])
    assert torch.equal(started, given)
    with pytest.raises(InputError, match="denoise 0.5: .*carried portrait"):
        all_latents(tiny_model, reference, dataclasses.replace(motion, landmarks=None), part)


def test_no_steps_at_all_are_the_carried_portrait(
    tiny_model: PortraitModel, portrait: Tensor, make_track: Callable[..., FaceTrack], monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = encode_reference(tiny_model, portrait, track=make_track(1), framing="full")
    motion = signal_of(tiny_model, make_track(13), reference=reference.track)
    sampling = dataclasses.replace(tiny_model.config.sampling, steps=0)
    calls = count(monkeypatch, tiny_model.backbone, "predict")
    made = pipeline.decode(tiny_model, all_latents(tiny_model, reference, motion, sampling))
    assert reference.layers is not None and motion.landmarks is not None
    assert np.abs(to_uint8(made).astype(int) - reference.layers.carry(motion.landmarks).frames).max() <= 1
    assert not calls
    with pytest.raises(InputError, match="steps 0: .*analyse the portrait's face"):
        all_latents(tiny_model, reference, dataclasses.replace(motion, landmarks=None), sampling)


def test_a_result_has_the_portrait_s_own_size_where_that_is_asked_for(
    tiny_model: PortraitModel, make_track: Callable[..., FaceTrack]
) -> None:
    image = torch.rand(1, 3, 96, 128, generator=torch.Generator().manual_seed(3)) * 2 - 1
    face = make_track(1, size=96)
    track = dataclasses.replace(face, size=(96, 128))
    for size, shape in (("portrait", (96, 128)), (160, (120, 160)), ("model", tuple(tiny_model.config.size))):
        made = all_frames(tiny_model, image, make_track(5), track=track, size=size)
        assert made.shape == (5, 3, *shape)
    sampling = dataclasses.replace(tiny_model.config.sampling, steps=0)
    (still,) = chunks_of_frames(tiny_model, image, make_track(1), track=track, size="portrait", sampling=sampling)
    assert (still[0] - image[0]).abs().mean() < 0.05  # at rest the portrait is the portrait


def overflowing(model: PortraitModel) -> PortraitModel:
    """The same networks in float16, with a last layer that leaves its range."""
    with torch.no_grad():
        model.backbone.denoiser.unet.conv_out.weight.mul_(1e6)
    for module in (model.backbone, model.autoencoder):
        module.half()
    return model


def test_latents_out_of_range_are_an_error_before_anything_is_made_of_them(
    tiny_model: PortraitModel, portrait: Tensor, make_track: Callable[..., FaceTrack]
) -> None:
    model, words = overflowing(tiny_model), r"model tiny: made latents .* in float16; .* bfloat16 or float32"
    reference = encode_reference(model, portrait, track=make_track(1), framing="full")
    motion = signal_of(model, make_track(13), reference=reference.track)
    with pytest.raises(NotFiniteError, match=words):
        next(latents_of(model, reference, motion, model.config.sampling))
    with pytest.raises(NotFiniteError, match=words):
        next(chunks_of_frames(model, portrait, make_track(13), track=make_track(1), framing="full"))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_one_number_that_is_not_finite_is_seen_wherever_it_stands(
    tiny_model: PortraitModel, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    latents = torch.zeros(1, 3, 48, 8, 8)
    assert pipeline.decode(tiny_model, latents).shape == (3, 3, 32, 32)
    latents[0, -1, -1, -1, -1] = value
    with pytest.raises(NotFiniteError, match="model tiny: made latents .* in float32; .* file is damaged"):
        pipeline.decode(tiny_model, latents)
    frames = torch.zeros(3, 3, 32, 32)
    frames[-1, -1, -1, -1] = value
    monkeypatch.setattr(tiny_model.autoencoder, "decode", lambda latents: frames)
    with pytest.raises(NotFiniteError, match="model tiny: made frames .* in float32"):
        pipeline.decode(tiny_model, torch.zeros(1, 3, 48, 8, 8))


def test_latents_that_leave_the_model_s_range_on_the_way_to_it_are_seen(tiny_model: PortraitModel) -> None:
    """ComfyUI keeps latents in float32; folding would clamp what becomes infinite to white."""
    tiny_model.backbone.half()
    with pytest.raises(NotFiniteError, match="in float16"):
        pipeline.decode(tiny_model, torch.full((1, 1, 48, 8, 8), 1e5))
