"""The DiT behind the contract: the base model inside it, its groups, its history, its branches."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import pytest
import torch
from einops import rearrange

from model_core.backbones.base import AnimationInputs
from model_core.backbones.dit import DiTBackbone, DiTConditioning
from model_core.backbones.dit.positions import DRIVING, NOISY
from model_core.errors import CheckpointError, InputError
from model_core.types import Baseline, Branch, HistoryFrames, MotionSignal, ReferenceInputs

Make = Callable[..., DiTBackbone]


def conditioning_of(backbone: DiTBackbone, *, frames: int = 3, history: int = 0, size: int = 16) -> DiTConditioning:
    generator = torch.Generator().manual_seed(1)

    def draw(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator)

    image = draw(1, 3, size, size) * 2 - 1
    motion = MotionSignal("masked_frames", draw(frames, 3, size, size))
    inputs = ReferenceInputs(image, backbone.encode(image), motion=draw(1, 3, size, size))
    past = None
    if history:
        shown = draw(history, 3, size, size)
        past = HistoryFrames(backbone.encode(draw(history, 3, size, size) * 2 - 1), shown)
    baseline = Baseline(backbone.encode(draw(frames, 3, size, size) * 2 - 1), draw(frames, 1, size, size))
    return backbone.prepare(AnimationInputs(backbone.encode_reference(inputs), motion, past, baseline))


def latents(frames: int = 3, *, side: int = 8, seed: int = 2) -> torch.Tensor:
    return torch.randn(1, frames, 12, side, side, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", ["full", "factorised"])
def test_without_conditions_it_is_the_base_model_frame_by_frame(make_dit: Make, kind: str) -> None:
    backbone = make_dit(video_attention=kind)
    noisy, timestep = latents(), torch.tensor(612.5)
    made = backbone.predict(noisy, timestep, conditioning_of(backbone), [Branch.UNCONDITIONAL])[Branch.UNCONDITIONAL]
    for frame in range(3):
        wanted = backbone.denoiser.transformer(
            hidden_states=noisy[:, frame],
            timestep=timestep.expand(1),
            encoder_hidden_states=backbone.denoiser.null_prompt,
            pooled_projections=backbone.denoiser.null_pooled,
        ).sample
        assert wanted.abs().max() > 0.1
        torch.testing.assert_close(made[:, frame], wanted, atol=1e-5, rtol=1e-5)


def test_trained_video_attention_joins_the_frames(make_dit: Make) -> None:
    backbone = make_dit(fresh_video=False)
    condition = conditioning_of(backbone)
    noisy = latents()
    changed = noisy.clone()
    changed[:, 2] += 1
    before, after = (
        backbone.predict_branch(x, torch.tensor(500.0), condition, Branch.DRIVING) for x in (noisy, changed)
    )
    assert (before[:, 0] - after[:, 0]).abs().max() > 1e-3
    alone = [
        backbone.predict_branch(x, torch.tensor(500.0), condition, Branch.DRIVING, temporal=False)
        for x in (noisy, changed)
    ]
    torch.testing.assert_close(alone[0][:, :2], alone[1][:, :2])


def test_every_branch_sees_one_signal_more(make_dit: Make) -> None:
    backbone = make_dit(fresh_video=False)
    condition = conditioning_of(backbone, history=2)
    made = backbone.predict(latents(), torch.tensor(500.0), condition, tuple(Branch))
    assert list(made) == list(Branch)
    values = list(made.values())
    for index, first in enumerate(values):
        assert first.shape == (1, 3, 12, 8, 8)
        for second in values[index + 1 :]:
            assert (first - second).abs().max() > 1e-3


def test_history_never_sees_what_is_denoised_and_goes_with_the_first_window(make_dit: Make) -> None:
    backbone = make_dit(fresh_video=False)
    condition = conditioning_of(backbone, frames=5, history=3)
    assert condition.num_history == 3 and condition.history is not None and set(condition.history) == {0, 2}
    assert condition.history[0].keys.shape == (1, 2, 3, 16, 8)
    first, later = condition.take([0, 1, 2]), condition.take([2, 3, 4])
    assert first.num_history == 3 and later.num_history == 0 and later.history is None
    made = backbone.predict_branch(latents(), torch.tensor(500.0), later, Branch.FULL)
    torch.testing.assert_close(made, backbone.predict_branch(latents(), torch.tensor(500.0), later, Branch.DRIVING))


@pytest.mark.parametrize("kind", ["full", "factorised"])
def test_history_is_clean_frames_just_before_the_first_one(make_dit: Make, kind: str) -> None:
    """One run over all frames, the first at timestep 0 and numbered below 0, says the same.

    With a single video attention that is exact: until then no frame has seen another.
    """
    settings = {"num_layers": 1, "video_attention_after": (0,), "dual_attention_layers": ()}
    backbone = make_dit(fresh_video=False, video_attention=kind, **settings)
    past, motion = latents(2, seed=5), torch.rand(1, 5, 3, 16, 16, generator=torch.Generator().manual_seed(6))
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(7))
    reference = backbone.encode_reference(ReferenceInputs(image, backbone.encode(image)))
    condition = backbone.condition(reference, motion[:, 2:], history_latents=past, history_motion=motion[:, :2])
    made = backbone.predict_branch(latents(3), torch.tensor(700.0), condition, Branch.FULL)

    denoiser = backbone.denoiser
    groups = [
        denoiser.embed(torch.cat([past, latents(3)], dim=1).flatten(0, 1), NOISY),
        reference.tokens.expand(5, -1, -1),
        denoiser.embed(backbone.encode(motion[0] * 2 - 1), DRIVING),
    ]
    wanted = {}
    for times, first in (((0, 0), -2), ((700, 700), -2), ((0, 0), 0), ((0, 0), -3)):
        timesteps = torch.tensor([[*times, 700.0, 700.0, 700.0]])
        tokens, embedded, _ = denoiser._blocks(groups, timesteps, first=first)
        out = denoiser.transformer.proj_out(denoiser.transformer.norm_out(tokens, embedded))
        wanted[times, first] = out[2:]
    patches = rearrange(made[0], "f c (y a) (x b) -> f (y x) (a b c)", a=2, b=2)
    torch.testing.assert_close(patches, wanted[(0, 0), -2], atol=1e-5, rtol=1e-4)
    for other in list(wanted)[1:]:
        assert (wanted[other] - wanted[(0, 0), -2]).abs().max() > 1e-3, other


def test_a_window_is_the_same_cut_out_before_or_after(make_dit: Make) -> None:
    backbone = make_dit(baseline=True)
    part = conditioning_of(backbone, frames=4, size=32).take([3, 1])
    whole = conditioning_of(backbone, frames=4, size=32)
    assert part.baseline is not None and whole.baseline is not None and whole.baseline_tokens is not None
    torch.testing.assert_close(part.driving, whole.driving[:, [3, 1]])
    torch.testing.assert_close(part.baseline_tokens, whole.baseline_tokens[:, [3, 1]])
    torch.testing.assert_close(part.baseline.latents, whole.baseline.latents[:, [3, 1]])


@pytest.mark.parametrize("size", [(8, 8), (4, 12), (16, 8), (24, 32)])
def test_any_resolution(make_dit: Make, size: tuple[int, int]) -> None:
    backbone = make_dit()
    image = torch.rand(1, 3, 2 * size[0], 2 * size[1])
    inputs = ReferenceInputs(image, backbone.encode(image))
    motion = MotionSignal("masked_frames", image)
    condition = backbone.prepare(AnimationInputs(backbone.encode_reference(inputs), motion))
    noisy = torch.randn(1, 1, 12, *size)
    assert backbone.predict_branch(noisy, torch.tensor(1.0), condition, Branch.DRIVING).shape == noisy.shape


@pytest.mark.parametrize("sigma", [0.05, 0.5, 1.0])
def test_a_network_that_says_nothing_leaves_the_best_linear_guess(make_dit: Make, sigma: float) -> None:
    """Of clean frames that differ from the baseline by white noise, closed form: the Wiener filter."""
    backbone = make_dit(baseline=True)
    for parameter in backbone.denoiser.transformer.proj_out.parameters():
        parameter.zero_()
    condition = conditioning_of(backbone, size=32)
    assert condition.baseline is not None
    baseline = condition.baseline.latents
    clean = baseline + 0.1 * latents(side=16, seed=3)
    noisy = (1 - sigma) * clean + sigma * latents(side=16, seed=4)
    velocity = backbone.predict_branch(noisy, torch.tensor(1000 * sigma), condition, Branch.DRIVING)
    found = noisy - sigma * velocity
    error = (found - clean).square().mean().sqrt()
    assert error == pytest.approx(0.1 * sigma / math.hypot(0.1 * (1 - sigma), sigma), rel=0.05)
    if sigma == 1:
        torch.testing.assert_close(found, baseline, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("redraw", [False, True])
def test_a_fresh_model_samples_exactly_its_baseline_in_one_step(make_dit: Make, redraw: bool) -> None:
    backbone = make_dit(fresh=True, baseline=True, redraw=redraw)
    condition = conditioning_of(backbone, size=32, history=2)
    noise = latents(side=16)
    made = backbone.predict(noise, torch.tensor(1000.0), condition, [Branch.DRIVING, Branch.FULL])
    assert condition.baseline is not None
    for velocity in made.values():
        torch.testing.assert_close(noise - velocity, condition.baseline.latents, atol=1e-6, rtol=0)


def test_without_its_baseline_a_model_names_the_remedy(make_dit: Make) -> None:
    backbone = make_dit(baseline=True)
    image = torch.rand(1, 3, 32, 32)
    reference = backbone.encode_reference(ReferenceInputs(image, backbone.encode(image)))
    with pytest.raises(InputError, match="carries no landmarks.*analyse the portrait's face"):
        backbone.prepare(AnimationInputs(reference, MotionSignal("masked_frames", image)))


def test_validity_counts_where_the_baseline_does(make_dit: Make) -> None:
    backbone = make_dit(baseline=True)
    image, motion = torch.rand(1, 3, 16, 16), MotionSignal("masked_frames", torch.rand(3, 3, 16, 16))
    reference = backbone.encode_reference(ReferenceInputs(image, backbone.encode(image)))
    carried = backbone.encode(torch.rand(3, 3, 16, 16))
    made = []
    for shown in (torch.zeros(3, 1, 16, 16), torch.ones(3, 1, 16, 16)):
        condition = backbone.prepare(AnimationInputs(reference, motion, baseline=Baseline(carried, shown)))
        made.append(backbone.predict(latents(), torch.tensor(500.0), condition, tuple(Branch)))
    for branch in Branch:
        differ = not torch.equal(made[0][branch], made[1][branch])
        assert differ == (branch in (Branch.DRIVING, Branch.FULL)), branch


def test_history_frames_are_their_own_baseline(make_dit: Make) -> None:
    """They differ by nothing from it, whatever they show."""
    backbone = make_dit(baseline=True)
    seen: list[torch.Tensor] = []
    backbone.denoiser.transformer.pos_embed.proj.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    condition = conditioning_of(backbone, history=2)
    assert condition.num_history == 2
    past = [given for given in seen if len(given) == 2]
    still, noisy, driving = past
    assert noisy.abs().max() == 0 and still.abs().max() > 0.1 and driving.abs().max() > 0.1


def test_conditions_beside_reach_a_place_without_any_attention(make_dit: Make) -> None:
    backbone = make_dit(conditions_beside=True, num_layers=1, dual_attention_layers=(), video_attention_after=())
    (block,) = backbone.denoiser.transformer.transformer_blocks
    for parameter in block.parameters():
        parameter.zero_()
    condition = conditioning_of(backbone)
    changed = condition.driving.clone()
    changed[:, 1, 5] += 1  # the sixth of 4 x 4 places, in the second frame
    other = dataclasses.replace(condition, driving=changed)
    before, after = (
        backbone.predict_branch(latents(), torch.tensor(500.0), seen, Branch.DRIVING) for seen in (condition, other)
    )
    moved = (after - before).abs().amax(dim=2)[0].unflatten(-1, (4, 2)).unflatten(1, (4, 2)).amax(dim=(2, 4))
    assert (moved > 1e-3).nonzero().tolist() == [[1, 1, 1]]
    still = [
        backbone.predict_branch(latents(), torch.tensor(500.0), seen, Branch.REFERENCE) for seen in (condition, other)
    ]
    torch.testing.assert_close(still[0], still[1])


def test_predictions_are_relative_to_the_corrected_baseline(make_dit: Make) -> None:
    model = make_dit(baseline=True, redraw=True)
    image, motion = torch.rand(1, 3, 32, 32), torch.rand(1, 2, 3, 32, 32)
    baseline = Baseline(model.encode(torch.rand(2, 3, 32, 32))[None], torch.rand(1, 2, 1, 32, 32))
    reference = model.encode_reference(ReferenceInputs(image, model.encode(image)))
    conditioning = model.condition(reference, motion, baseline=baseline)
    assert model.redraw is not None and conditioning.baseline is not None
    corrected = conditioning.baseline.latents
    torch.testing.assert_close(corrected, model.redraw(baseline, motion).latents)
    assert (corrected - baseline.latents).abs().max() > 1e-3


def test_latents_that_are_no_folded_pixels_cannot_be_redrawn(make_dit: Make) -> None:
    for settings in ({"redraw": True}, {"redraw": True, "baseline": True, "latent_stride": 4}):
        with pytest.raises(CheckpointError, match="redraw needs baseline and latents of folded pixels"):
            make_dit(**settings)
