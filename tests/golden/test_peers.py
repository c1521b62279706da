"""AnimateAnyone's and FollowYourEmoji's networks and loops, from their own files: the same numbers."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from golden_set import LOOP, GoldenSet, assert_close, golden_sets
from torch import Tensor

from model_core.backbones.unet.blocks import enter_transformer, finish_transformer, temporal_layer
from model_core.backbones.unet.networks import Seen
from model_core.sampling import (
    CyclicOverlap,
    SignalFusion,
    Windows,
    WrappedWindows,
    loop,
    make_scheduler,
    make_windows,
    sample,
)
from model_core.types import Branch

MOORE, EMOJI = "MooreThreads/Moore-AnimateAnyone", "mayuelala/FollowYourEmoji"


def of(*peers: str) -> pytest.MarkDecorator:
    sets = [folder for peer in peers for folder in golden_sets(peer)]
    return pytest.mark.parametrize("golden", sets, indirect=True, ids=lambda folder: folder.name)


def either(golden: GoldenSet, **changes: object) -> GoldenSet:
    return GoldenSet(golden.folder, changes)


def predict(golden: GoldenSet, *branches: Branch, pose: bool = True, temporal: bool = True) -> list[Tensor]:
    """(1, C, f, h, w) for every branch of the set's single call."""
    noisy, timestep = golden.io["x"].transpose(1, 2), golden.io["t"]
    conditioning = golden.conditioning(noisy.shape[1])
    if not pose:
        conditioning = dataclasses.replace(conditioning, pose=torch.zeros_like(conditioning.pose))
    backbone = golden.model.backbone
    if temporal:
        made = backbone.predict(noisy, timestep, conditioning, branches)
    else:
        made = {b: backbone.predict_branch(noisy, timestep, conditioning, b, temporal=False) for b in branches}
    return [made[branch].transpose(1, 2) for branch in branches]


@of(MOORE, EMOJI)
def test_the_image_encoder_sees_and_says_the_same(golden: GoldenSet) -> None:
    prompt, io = golden.model.backbone.image_prompt, golden.io
    with golden.prompt_order():
        assert_close(golden.prompt_pixels(), io["clip_pixel_values_sub16"])
        if "clip_image_embeds" in io:
            assert_close(prompt(golden.picture)[:, 0], io["clip_image_embeds"])
        if "clip_last_hidden" in io:
            assert_close(prompt(golden.picture), io["clip_last_hidden"])


@of(MOORE, EMOJI)
def test_the_autoencoder_encodes_the_same(golden: GoldenSet) -> None:
    with golden.order(golden.latents, "ref_latents"):
        assert_close(golden.latents(), golden.io["ref_latents"])


@of(MOORE, EMOJI)
def test_the_pose_guider_says_the_same(golden: GoldenSet) -> None:
    expected = golden.io["pose_fea"]
    assert_close(golden.conditioning(expected.shape[2]).pose.transpose(1, 2), expected)


@of(MOORE, EMOJI)
def test_the_reference_net_banks_the_same(golden: GoldenSet) -> None:
    backbone = golden.model.backbone
    with golden.prompt_order():
        prompt = backbone.image_prompt(golden.picture)
    bank = backbone.reference_net(golden.io["ref_latents"], prompt=prompt)
    expected = {key.removeprefix("bank."): value for key, value in golden.io.items() if key.startswith("bank.")}
    layers = golden.meta["unet"]["layers_per_block"]
    assert len(bank) == 3 * layers + 1 + 3 * (layers + 1) and expected
    for path, tokens in expected.items():
        assert_close(bank[f"{path}.attn1"], tokens)


@of(MOORE, EMOJI)
def test_one_call_with_guidance_predicts_the_same(golden: GoldenSet) -> None:
    made = predict(golden, Branch.UNCONDITIONAL, Branch.DRIVING)
    assert_close(torch.cat(made), golden.io["eps_cfg"])


@of(MOORE, EMOJI)
def test_without_motion_signal(golden: GoldenSet) -> None:
    assert_close(predict(golden, Branch.DRIVING, pose=False)[0], golden.io["eps_cfg_nopose"])


@of(MOORE)
def test_without_temporal_layers(golden: GoldenSet) -> None:
    assert_close(predict(golden, Branch.DRIVING, temporal=False)[0], golden.io["eps_cfg_nomotion"])


@of(MOORE, EMOJI)
def test_without_reference(golden: GoldenSet) -> None:
    backbone, noisy = golden.model.backbone, golden.io["x"].transpose(1, 2)
    frames = noisy.shape[1]
    stem = backbone.denoiser.stem(noisy, golden.io["t"].expand(1, frames), golden.conditioning(frames).pose)
    seen = Seen(golden.reference.seen.prompt)
    (made,) = backbone.denoiser(stem, [seen], frames=frames)
    assert_close(made.transpose(1, 2), golden.io["eps_noref"])


@of(MOORE)
def test_reference_in_the_middle_and_on_the_way_up_only(golden: GoldenSet) -> None:
    changed = either(golden, reference_blocks="midup")
    assert_close(predict(changed, Branch.DRIVING)[0], golden.io["eps_cfg_midup"])


@of(MOORE)
def test_face_reenactment_attends_to_an_empty_reference(golden: GoldenSet) -> None:
    changed = either(golden, unconditional_reference="zeros")
    made = predict(changed, Branch.UNCONDITIONAL, Branch.DRIVING)
    assert_close(made[0], golden.io["eps_cfg_reenact_uncond"])
    assert_close(made[1], golden.io["eps_cfg"][1:])


@of(MOORE, EMOJI)
def test_single_layers(golden: GoldenSet) -> None:
    denoiser, io = golden.model.backbone.denoiser, golden.io
    names = [key for key in io if key.startswith(("mm_in.", "mm_small_in."))]
    assert len(names) >= 2
    for name in names:
        hidden = io[name]
        module = denoiser.motion.get_submodule(name.split(".", 1)[1])
        made = temporal_layer(module, hidden[0].transpose(0, 1), hidden.shape[2])
        assert_close(made.transpose(0, 1)[None], io[name.replace("_in.", "_out.")])
    for name in (key for key in io if key.startswith("attn_small_in.")):
        path = name.removeprefix("attn_small_in.")
        layer = denoiser.unet.get_submodule(path)
        made = finish_transformer(
            layer,
            enter_transformer(layer, io[name][0].transpose(0, 1)),
            references=[None],
            prompts=[golden.reference.seen.prompt[f"{path}.transformer_blocks.0.attn2"]],
            attend=golden.model.backbone.attend,
        )
        assert_close(made.transpose(0, 1)[None], io[name.replace("_in.", "_out.")])
    if "time_embedding_out" in io:
        times = torch.tensor([0, 1, int(io["t"]), 999])
        assert_close(denoiser.unet.time_embedding(denoiser.unet.time_proj(times)), io["time_embedding_out"])


@of(MOORE, EMOJI)
def test_the_schedule_is_the_same(golden: GoldenSet) -> None:
    io, config = golden.io, dataclasses.replace(golden.model.config.schedule, clean_end=False)
    scheduler = make_scheduler(config, "ddim")
    assert_close(scheduler.alphas_cumprod, io["sched_alphas_cumprod"], 1e-6)
    for key in (key for key in io if key.startswith("sched_timesteps_")):
        scheduler.set_timesteps(int(key.rpartition("_")[2]))
        assert torch.equal(scheduler.timesteps, io[key])
    if "ddim30_prev" in io:
        scheduler.set_timesteps(30)
        rows = zip(io["ddim30_v"], scheduler.timesteps, io["ddim30_x"], io["ddim30_prev"], strict=True)
        for velocity, timestep, noisy, expected in rows:
            assert_close(scheduler.step(velocity, timestep, noisy).prev_sample, expected, 1e-5)


@of(MOORE)
def test_the_windows_are_the_same(golden: GoldenSet) -> None:
    for setting, expected in golden.meta["context_windows"].items():
        value = {key: int(number) for key, number in (part.split("=") for part in setting.split(","))}
        windows = WrappedWindows(value["context"], value["overlap"], dilations=value["stride"])
        for step in (0, 3):
            made = windows.windows(step, value["frames"])
            assert [list(window.frames) for window in made] == expected, setting


class Recorded:
    """The predictions that reach the scheduler, and the latents that it makes of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.predictions: list[Tensor] = []
        self.latents: list[Tensor] = []
        advance = loop.advance

        def recorded(scheduler, prediction, *rest):
            made = advance(scheduler, prediction, *rest)
            self.predictions.append(prediction.transpose(1, 2))
            self.latents.append(made.transpose(1, 2))
            return made

        monkeypatch.setattr(loop, "advance", recorded)


def run_loop(golden: GoldenSet, windows: Windows, *, scale: float) -> Tensor:
    noise, config = golden.io["loop.init_noise"].transpose(1, 2), golden.model.config
    return sample(
        golden.model.backbone,
        golden.conditioning(noise.shape[1]),
        noise,
        scheduler=make_scheduler(dataclasses.replace(config.schedule, clean_end=False), config.sampling.scheduler),
        steps=golden.meta["loop"]["steps"],
        windows=windows,
        guidance=SignalFusion(identity=scale, motion=scale),
    ).transpose(1, 2)


def their_windows(golden: GoldenSet, *, averaged: bool = True) -> WrappedWindows:
    said = golden.meta["loop"]
    overlap = said.get("context_overlap", said.get("context_overlap_effective"))
    return WrappedWindows(said["context_frames"], overlap, dilations=said["context_stride"], averaged=averaged)


@of(MOORE, EMOJI)
def test_the_whole_loop(golden: GoldenSet, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Recorded(monkeypatch)
    latents = run_loop(golden, their_windows(golden), scale=golden.meta["loop"]["guidance_scale"])
    assert_close(seen.latents[0], golden.io["loop.latents_step1"], LOOP)
    assert_close(latents, golden.io["loop.final_latents"], LOOP)
    if "loop.noise_pred_first" in golden.io:
        assert_close(seen.predictions[0], golden.io["loop.noise_pred_first"], LOOP)
    if "loop.noise_pred_first_last" in golden.io:
        ends = torch.stack([seen.predictions[0], seen.predictions[-1]])
        assert_close(ends, golden.io["loop.noise_pred_first_last"], LOOP)
    frame = golden.model.autoencoder.decode(latents[:, :, 0])
    assert_close((frame / 2 + 0.5)[:, :, ::4, ::4], golden.io["loop.decoded_frame0_sub4"], LOOP)


@of(MOORE, EMOJI)
def test_the_preset_as_published_runs_their_loop(golden: GoldenSet) -> None:
    """Windows, end of the schedule and rounding all come from the preset; the set's own numbers are put in."""
    moore = "loop.final_latents_bank16" in golden.io
    name = "moore_pose2vid_as_published" if moore else "follow_your_emoji_as_published"
    published, said = GoldenSet(golden.folder, preset=name), golden.meta["loop"]
    sampling = dataclasses.replace(published.model.config.sampling, window=said["context_frames"])
    if moore:
        sampling = dataclasses.replace(sampling, overlap=said["context_overlap"])
    assert sampling.identity == sampling.motion == 3.5  # both peers' scripts; the set was made with its own scale
    windows = dataclasses.replace(make_windows(sampling), dilations=said["context_stride"])
    latents = run_loop(published, windows, scale=said["guidance_scale"])
    exact = golden.io["loop.final_latents"]
    assert_close(latents, golden.io["loop.final_latents_bank16"] if moore else exact, LOOP)
    assert torch.equal(latents, run_loop(golden, their_windows(golden), scale=said["guidance_scale"])) != moore


@of(MOORE)
def test_the_loop_without_guidance_adds_overlaps_as_published(golden: GoldenSet) -> None:
    latents = run_loop(golden, their_windows(golden, averaged=False), scale=1.0)
    assert_close(latents, golden.io["loop.final_latents_nocfg_peerbug"], LOOP)


@of(EMOJI)
def test_long_clips_blended_by_a_gaussian(golden: GoldenSet) -> None:
    said = golden.meta["long"]
    windows = CyclicOverlap(said["t_tile_length"], said["t_tile_overlap"], cyclic=False, blend="gaussian")
    frames = golden.io["loop.init_noise"].shape[2]
    spans = [[window.frames[0], window.frames[-1] + 1] for window in windows.windows(0, frames)]
    assert spans == said["tiles"]
    latents = run_loop(golden, windows, scale=golden.meta["loop"]["guidance_scale"])
    assert_close(latents, golden.io["long.final_latents"], LOOP)


def test_the_sets_are_where_they_are_looked_for() -> None:
    """The tests above skip loudly without them; beside the shared folder they must not."""
    shared = Path(__file__).parents[3] / "shared"
    if shared.is_dir():
        assert all(folder.is_dir() for peer in (MOORE, EMOJI) for folder in golden_sets(peer))
