"""The denoiser against diffusers' own UNet, and the cached reference against the plain computation."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from diffusers import UNet2DConditionModel

from model_core.backbones.base import AnimationInputs
from model_core.backbones.unet import UNetBackbone, UNetConfig
from model_core.backbones.unet.blocks import temporal_layer
from model_core.backbones.unet.networks import Denoiser, Seen
from model_core.errors import CheckpointError, InputError
from model_core.types import Baseline, Branch, HistoryFrames, MotionSignal, ReferenceInputs

TINY = UNetConfig(
    latent_channels=4,
    latent_stride=4,
    block_out_channels=(16, 32, 32),
    layers_per_block=1,
    down_attention=(False, True, True),
    up_attention=(True, True, False),
    attention_heads=2,
    cross_attention_dim=24,
    norm_num_groups=8,
    pose_guider_channels=(8, 16, 16),
    motion_heads=2,
    motion_max_length=12,
    image_encoder={
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 16,
        "projection_dim": 24,
    },
)
SD_LIKE = dataclasses.replace(
    TINY,
    latent_stride=8,
    block_out_channels=(16, 16, 32, 32),
    layers_per_block=2,
    down_attention=(True, True, True, False),
    up_attention=(False, True, True, True),
    pose_guider_channels=(8, 8, 16, 16),
)


def make(config: UNetConfig) -> UNetBackbone:
    torch.manual_seed(0)
    return UNetBackbone(config).eval().requires_grad_(False)


def randomise_zero_layers(backbone: UNetBackbone) -> None:
    """Fresh zero-initialised layers hide mistakes; give them values."""
    generator = torch.Generator().manual_seed(1)
    for parameter in backbone.parameters():
        if not parameter.any():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)


def denoise(
    denoiser: Denoiser, latents: torch.Tensor, timesteps: torch.Tensor, prompt: torch.Tensor, *, temporal: bool = True
) -> torch.Tensor:
    """One call without reference and motion."""
    stem = denoiser.stem(latents, timesteps)
    seen = [Seen(denoiser.project_prompt(prompt))]
    return denoiser(stem, seen, frames=latents.shape[1], temporal=temporal)[0]


def inputs(config: UNetConfig, frames: int, *, history: int = 0, size: tuple[int, int] = (48, 64)):
    generator = torch.Generator().manual_seed(2)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    h, w = size[0] // config.latent_stride, size[1] // config.latent_stride
    reference = ReferenceInputs(
        draw(1, 3, *size).clamp(-1, 1),
        draw(1, config.latent_channels, h, w),
        (draw(1, 1, *size) > 0).float(),
        draw(1, 3, *size).clamp(0, 1),
    )
    motion = MotionSignal("parsing_map", draw(frames, 3, *size).clamp(0, 1))
    past = None
    if history:
        past = HistoryFrames(draw(history, config.latent_channels, h, w), draw(history, 3, *size).clamp(0, 1))
    return reference, motion, past, draw(1, frames, config.latent_channels, h, w)


@pytest.mark.parametrize("config", [TINY, SD_LIKE], ids=["tiny", "sd-like"])
@pytest.mark.parametrize("size", [(64, 64), (72, 104)], ids=["even", "odd"])
@pytest.mark.parametrize("tokens", [1, 5])
def test_without_additions_it_is_diffusers_unet(config: UNetConfig, size: tuple[int, int], tokens: int) -> None:
    config = dataclasses.replace(config, temporal=False)
    backbone = make(config)
    plain = UNet2DConditionModel(
        in_channels=config.latent_channels, out_channels=config.latent_channels, **config.unet_kwargs()
    )
    plain.load_state_dict(backbone.denoiser.unet.state_dict())
    _, motion, _, latents = inputs(config, 3, size=size)
    prompt = torch.randn(1, tokens, config.cross_attention_dim)
    timestep = torch.tensor(321)
    for grad in (False, True):  # the two layouts of the activations
        with torch.set_grad_enabled(grad):
            ours = denoise(backbone.denoiser, latents, timestep.expand(1, 3), prompt)[0]
        with torch.no_grad():
            theirs = plain(latents[0], timestep, prompt.expand(3, -1, -1)).sample
        assert (ours - theirs).abs().max() <= 1e-5
    assert backbone._pose(motion.frames[None]).abs().max() == 0  # a fresh PoseGuider says nothing


class _Concatenate:
    """The straightforward reader: join the banked hidden states to the tokens, then project."""

    def __init__(self, tokens: torch.Tensor) -> None:
        self.tokens = tokens

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, **_):
        rows = hidden_states.shape[0]
        joined = torch.cat([hidden_states, self.tokens.repeat(rows, 1, 1)], dim=1)
        heads = attn.heads

        def split(x: torch.Tensor) -> torch.Tensor:
            return x.view(rows, -1, heads, x.shape[-1] // heads).transpose(1, 2)

        query, key, value = (
            split(attn.to_q(hidden_states)),
            split(attn.to_k(joined)),
            split(attn.to_v(joined)),
        )
        weights = (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5).softmax(-1)
        out = (weights @ value).transpose(1, 2).reshape(rows, hidden_states.shape[1], -1)
        return attn.to_out[0](out)


@pytest.mark.parametrize("config", [TINY, SD_LIKE], ids=["tiny", "sd-like"])
@pytest.mark.parametrize("blocks", ["full", "midup"])
def test_cached_keys_and_values_equal_diffusers_reading_the_bank(config: UNetConfig, blocks: str) -> None:
    config = dataclasses.replace(config, temporal=False, reference_blocks=blocks)
    backbone = make(config)
    randomise_zero_layers(backbone)
    reference, motion, _, latents = inputs(config, 4)
    conditioning = backbone.prepare(AnimationInputs(backbone.encode_reference(reference), motion))
    cached = backbone.predict(latents, torch.tensor(500), conditioning, [Branch.FULL])[Branch.FULL]

    person, scene = backbone.image_prompt.separate(reference.image, reference.foreground)
    bank = backbone.reference_net(reference.latents, prompt=person)
    plain = UNet2DConditionModel(
        in_channels=config.latent_channels, out_channels=config.latent_channels, **config.unet_kwargs()
    )
    plain.load_state_dict(backbone.denoiser.unet.state_dict())
    plain.conv_in.register_forward_hook(lambda _, __, hidden: hidden + conditioning.pose[0])
    processors = dict(plain.attn_processors)
    assert set(bank) == {path.removesuffix(".processor") for path in processors if "attn1" in path}
    for path in processors:
        if "attn1" in path and not (blocks == "midup" and path.startswith("down_blocks")):
            processors[path] = _Concatenate(bank[path.removesuffix(".processor")])
    plain.set_attn_processor(processors)
    with torch.no_grad():
        expected = plain(latents[0], 500, scene.expand(4, -1, -1)).sample
    assert (cached[0] - expected).abs().max() <= 1e-5
    without = backbone.predict(latents, torch.tensor(500), conditioning, [Branch.UNCONDITIONAL])
    assert (without[Branch.UNCONDITIONAL] - cached).abs().max() > 1e-3  # the reference does count


def test_fresh_temporal_layers_change_nothing() -> None:
    with_temporal = make(TINY)
    assert with_temporal.denoiser.motion is not None
    latents, prompt = torch.randn(1, 4, 4, 16, 16), torch.randn(1, 1, 24)
    timesteps = torch.full((1, 4), 9)
    on = denoise(with_temporal.denoiser, latents, timesteps, prompt)
    off = denoise(with_temporal.denoiser, latents, timesteps, prompt, temporal=False)
    assert torch.equal(on, off)


def test_temporal_layers_mix_frames_and_normalise_each_alone() -> None:
    backbone = make(TINY)
    randomise_zero_layers(backbone)
    assert backbone.denoiser.motion is not None
    module = backbone.denoiser.motion.down_blocks[1].motion_modules[0]
    hidden = torch.randn(3, 32, 4, 5)
    out = temporal_layer(module, hidden, 3)
    changed = hidden.clone()
    changed[2] += torch.randn(32, 4, 5)
    assert (temporal_layer(module, changed, 3)[0] - out[0]).abs().max() > 1e-4
    # a frame whose values are only scaled is the same frame to a normalisation per frame
    scaled = hidden.clone()
    scaled[2] *= 7.0
    assert torch.allclose(temporal_layer(module, scaled, 3)[0], out[0], atol=1e-4)


def test_history_is_attended_to_and_not_predicted() -> None:
    backbone = make(TINY)
    randomise_zero_layers(backbone)
    reference, motion, past, latents = inputs(TINY, 5, history=2)
    encoded = backbone.encode_reference(reference)
    conditioning = backbone.prepare(AnimationInputs(encoded, motion, past))
    assert conditioning.num_history == 2
    out = backbone.predict(latents, torch.tensor(100), conditioning, [Branch.FULL, Branch.DRIVING])
    assert out[Branch.FULL].shape == latents.shape
    assert (out[Branch.FULL] - out[Branch.DRIVING]).abs().max() > 1e-4
    without = backbone.prepare(AnimationInputs(encoded, motion))
    same = backbone.predict(latents, torch.tensor(100), without, [Branch.FULL, Branch.DRIVING])
    assert torch.equal(same[Branch.FULL], same[Branch.DRIVING])


def test_history_has_nothing_to_denoise_whatever_the_rest_has() -> None:
    backbone = make(TINY)
    reference, motion, past, latents = inputs(TINY, 3, history=2)
    conditioning = backbone.prepare(AnimationInputs(backbone.encode_reference(reference), motion, past))
    seen: list[list[float]] = []
    backbone.denoiser.unet.time_proj.register_forward_pre_hook(lambda _, given: seen.append(given[0].tolist()))
    backbone.predict(latents, torch.tensor(100), conditioning, [Branch.FULL, Branch.DRIVING])
    assert seen == [[0, 0, 100, 100, 100], [100, 100, 100]]


def carried(config: UNetConfig, frames: int, size: tuple[int, int] = (48, 64)) -> Baseline:
    generator = torch.Generator().manual_seed(3)
    h, w = size[0] // config.latent_stride, size[1] // config.latent_stride
    latents = torch.randn(frames, config.latent_channels, h, w, generator=generator)
    return Baseline(latents, torch.rand(frames, 1, *size, generator=generator))


BASELINE = dataclasses.replace(TINY, baseline=True, reference_pose=True, prediction_type="sample")


@pytest.mark.parametrize("config", [TINY, BASELINE], ids=["plain", "reference_pose"])
def test_the_portrait_s_own_motion_counts_where_the_model_compares_it(config: UNetConfig) -> None:
    backbone = make(config)
    randomise_zero_layers(backbone)
    reference, *_ = inputs(config, 1)
    first, second = (
        backbone.encode_reference(dataclasses.replace(reference, motion=motion)).seen.reference
        for motion in (reference.motion, 1 - reference.motion)
    )
    alike = [torch.equal(first[path][0], second[path][0]) for path in first]
    assert alike and all(alike) != config.reference_pose


@pytest.mark.parametrize("config", [TINY, BASELINE], ids=["plain", "baseline"])
def test_each_branch_sees_only_its_conditions(config: UNetConfig) -> None:
    backbone = make(config)
    randomise_zero_layers(backbone)
    reference, motion, past, latents = inputs(config, 3, history=1)
    timestep = torch.tensor(100)

    baseline = carried(config, 3)

    def run(
        reference: ReferenceInputs, motion: MotionSignal, past: HistoryFrames, baseline: Baseline = baseline
    ) -> dict[Branch, torch.Tensor]:
        encoded = backbone.encode_reference(reference)
        conditioning = backbone.prepare(AnimationInputs(encoded, motion, past, baseline))
        return backbone.predict(latents, timestep, conditioning, list(Branch))

    base = run(reference, motion, past)
    other_past = run(reference, motion, dataclasses.replace(past, latents=past.latents + 1))
    other_motion = run(reference, dataclasses.replace(motion, frames=1 - motion.frames), past)
    other_reference = run(dataclasses.replace(reference, latents=reference.latents + 1), motion, past)
    seen_by = {
        Branch.UNCONDITIONAL: (False, False, False),
        Branch.REFERENCE: (True, False, False),
        Branch.DRIVING: (True, True, False),
        Branch.FULL: (True, True, True),
    }
    for branch, expected in seen_by.items():
        runs = (other_reference, other_motion, other_past)
        changed = tuple(not torch.equal(run[branch], base[branch]) for run in runs)
        assert changed == expected, branch
    for other in (dataclasses.replace(baseline, latents=-baseline.latents), certain_of(baseline)):
        made = run(reference, motion, past, other)
        for branch, (_, driven, _) in seen_by.items():
            assert torch.equal(made[branch], base[branch]) != (driven and config.baseline), branch


def certain_of(baseline: Baseline) -> Baseline:
    return dataclasses.replace(baseline, validity=torch.ones_like(baseline.validity))


@pytest.mark.parametrize("branches", [(Branch.UNCONDITIONAL, Branch.REFERENCE), tuple(Branch)])
@pytest.mark.parametrize("unconditional", ["none", "zeros"])
def test_branches_together_predict_what_they_predict_alone(monkeypatch, branches, unconditional: str) -> None:
    config = dataclasses.replace(SD_LIKE, unconditional_motion=True, unconditional_reference=unconditional)
    backbone = make(config)
    randomise_zero_layers(backbone)
    reference, motion, past, latents = inputs(config, 3, history=1)
    conditioning = backbone.prepare(AnimationInputs(backbone.encode_reference(reference), motion, past))
    together = backbone.predict(latents, torch.tensor(100), conditioning, branches)
    monkeypatch.setattr("model_core.backbones.unet.backbone._TOGETHER", 0)
    in_turn = backbone.predict(latents, torch.tensor(100), conditioning, branches)
    assert list(together) == list(in_turn) == list(branches)
    for branch in branches:
        (alone,) = backbone.predict(latents, torch.tensor(100), conditioning, [branch]).values()
        assert (together[branch] - alone).abs().max() <= 1e-5, branch
        assert (in_turn[branch] - alone).abs().max() <= 1e-5, branch


def test_windows_take_their_frames_and_keep_history_at_the_front_only() -> None:
    backbone = make(TINY)
    randomise_zero_layers(backbone)
    reference, motion, past, _ = inputs(TINY, 6, history=2)
    conditioning = backbone.prepare(AnimationInputs(backbone.encode_reference(reference), motion, past))
    assert conditioning.take(range(0, 4)).num_history == 2
    later = conditioning.take(range(2, 6))
    assert later.num_history == 0
    assert torch.equal(later.pose, conditioning.pose[:, 2:6])
    assert torch.equal(conditioning.take([5, 0]).pose, conditioning.pose[:, [5, 0]])


@pytest.mark.parametrize("redraw", [False, True])
def test_a_fresh_model_predicts_exactly_its_baseline(redraw: bool) -> None:
    config = dataclasses.replace(BASELINE, latent_channels=48, redraw=redraw)
    backbone = make(config)
    reference, motion, past, latents = inputs(config, 3, history=2)
    baseline = carried(config, 3)
    conditioning = backbone.prepare(AnimationInputs(backbone.encode_reference(reference), motion, past, baseline))
    out = backbone.predict(latents, torch.tensor(999), conditioning, list(Branch))
    assert torch.equal(out[Branch.FULL], baseline.latents[None])
    assert torch.equal(out[Branch.DRIVING], baseline.latents[None])
    assert torch.equal(out[Branch.REFERENCE], reference.latents[:, None].expand_as(latents))
    assert out[Branch.UNCONDITIONAL].abs().max() == 0
    window = backbone.predict(latents[:, :2], torch.tensor(999), conditioning.take([2, 0]), [Branch.FULL])
    assert torch.equal(window[Branch.FULL], baseline.latents[None, [2, 0]])


def test_predictions_are_relative_to_the_corrected_baseline() -> None:
    config = dataclasses.replace(BASELINE, latent_channels=48, redraw=True)
    backbone = make(config)
    assert backbone.redraw is not None
    torch.nn.init.normal_(backbone.redraw.out.weight)
    reference, motion, _, latents = inputs(config, 3)
    baseline = carried(config, 3)
    conditioning = backbone.prepare(AnimationInputs(backbone.encode_reference(reference), motion, None, baseline))
    out = backbone.predict(latents, torch.tensor(999), conditioning, [Branch.DRIVING])[Branch.DRIVING]
    batched = Baseline(baseline.latents[None], baseline.validity[None])
    torch.testing.assert_close(out, backbone.redraw(batched, motion.frames[None]).latents)
    assert (out - baseline.latents).abs().max() > 1e-3


def test_without_its_baseline_a_model_names_the_remedy() -> None:
    backbone = make(BASELINE)
    reference, motion, _, _ = inputs(BASELINE, 3)
    with pytest.raises(InputError, match="carries no landmarks.*analyse the portrait's face"):
        backbone.prepare(AnimationInputs(backbone.encode_reference(reference), motion))


def test_history_frames_are_their_own_baseline() -> None:
    backbone = make(BASELINE)
    reference, motion, past, latents = inputs(BASELINE, 3, history=2)
    inputs_of = AnimationInputs(backbone.encode_reference(reference), motion, past, carried(BASELINE, 3))
    seen: list[torch.Tensor] = []
    backbone.denoiser.unet.conv_in.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    backbone.predict(latents, torch.tensor(10), backbone.prepare(inputs_of), [Branch.FULL])
    clean, beside, validity = seen[0][:2].split([4, 4, 16], dim=1)
    assert torch.equal(clean, past.latents) and torch.equal(beside, past.latents) and validity.min() == 1
    assert seen[0][2:, 8:].min() < 0.5


def test_separation_gives_each_network_its_own_prompt() -> None:
    backbone = make(TINY)
    reference, *_ = inputs(TINY, 1)
    person, scene = backbone.image_prompt.separate(reference.image, reference.foreground)
    assert not torch.allclose(person, scene)
    whole_person, whole_scene = backbone.image_prompt.separate(reference.image, None)
    assert torch.equal(whole_person, whole_scene)
    assert torch.allclose(whole_person, backbone.image_prompt(reference.image))


def test_too_long_a_window_is_refused() -> None:
    backbone = make(TINY)
    reference, motion, _, latents = inputs(TINY, 13)
    conditioning = backbone.prepare(AnimationInputs(backbone.encode_reference(reference), motion))
    with pytest.raises(InputError, match="13 frames .* more than this model's 12"):
        backbone.predict(latents, torch.tensor(1), conditioning, [Branch.FULL])


def test_impossible_configs_are_named() -> None:
    with pytest.raises(CheckpointError, match="shrinks by 2"):
        dataclasses.replace(TINY, pose_guider_channels=(8, 8))
    with pytest.raises(CheckpointError, match="entries"):
        dataclasses.replace(TINY, down_attention=(True,))
    with pytest.raises(CheckpointError, match="sample"):
        dataclasses.replace(TINY, baseline=True)
    with pytest.raises(CheckpointError, match="redraw needs baseline and latents of folded pixels"):
        dataclasses.replace(BASELINE, redraw=True)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_every_part_runs_in_half_precision(dtype: torch.dtype) -> None:
    config = dataclasses.replace(BASELINE, latent_channels=48, redraw=True)
    backbone = make(config)
    randomise_zero_layers(backbone)
    reference, motion, past, latents = inputs(config, 3, history=1, size=(64, 64))

    def run(dtype: torch.dtype) -> dict[Branch, torch.Tensor]:
        network = make(config).to(dtype)
        network.load_state_dict({key: value.to(dtype) for key, value in backbone.state_dict().items()})
        given = ReferenceInputs(*(part.to(dtype) for part in dataclasses.astuple(reference)))
        signal = MotionSignal(motion.kind, motion.frames.to(dtype))
        history = HistoryFrames(past.latents.to(dtype), past.motion.to(dtype))
        carry = carried(config, 3, (64, 64)).to(dtype)
        conditioning = network.prepare(AnimationInputs(network.encode_reference(given), signal, history, carry))
        return network.predict(latents.to(dtype), torch.tensor(400), conditioning, list(Branch))

    exact, made = run(torch.float32), run(dtype)
    assert all(branch.dtype == dtype and branch.isfinite().all() for branch in made.values())
    for branch, wanted in exact.items():
        assert (made[branch].float() - wanted).abs().mean() <= 0.05 * wanted.abs().mean(), branch
