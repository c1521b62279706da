from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import diffusers
import pytest
import torch

from model_core.config import ScheduleConfig, SchedulerName
from model_core.errors import CancelledError
from model_core.sampling import CyclicOverlap, SignalFusion, initial_noise, make_scheduler, sample
from model_core.types import Branch, StepEvent

NAMES = get_args(SchedulerName)
COMBINATIONS = [
    *((kind, name) for kind in ("epsilon", "v_prediction", "sample") for name in NAMES),
    *(("flow", name) for name in ("euler", "dpmpp_2m", "unipc")),
]


def schedule(kind: str = "v_prediction", *, zero_snr: bool = True, **values: Any) -> ScheduleConfig:
    zero_snr = zero_snr and kind != "epsilon"
    return ScheduleConfig(prediction_type=kind, rescale_betas_zero_snr=zero_snr, **values)


def run(backbone: Any, conditioning: Any, **changes: Any) -> torch.Tensor:
    noise = initial_noise(tuple(conditioning.clean.shape), seed=7)
    settings: dict[str, Any] = {
        "steps": 6,
        "windows": CyclicOverlap(8, 3),
        "guidance": SignalFusion(),
        "generator": torch.Generator().manual_seed(3),
    }
    if "scheduler" not in changes:
        changes["scheduler"] = make_scheduler(backbone.schedule)
    return sample(backbone, conditioning, changes.pop("noise", noise), **{**settings, **changes})


@pytest.mark.parametrize(("kind", "name"), COMBINATIONS)
@pytest.mark.parametrize("spacing", ["trailing", "leading", "linspace"])
def test_the_right_answers_lead_to_the_clean_latents(
    kind: str, name: str, spacing: str, make_backbone: Callable, make_conditioning: Callable
) -> None:
    for zero_snr in (True, False):
        config = schedule(kind, zero_snr=zero_snr, timestep_spacing=spacing)
        conditioning = make_conditioning(5)
        for steps in (4, 15):
            made = run(make_backbone(config), conditioning, scheduler=make_scheduler(config, name), steps=steps)
            torch.testing.assert_close(made, conditioning.clean, atol=2e-3, rtol=0)


@pytest.mark.parametrize(("kind", "name"), COMBINATIONS)
def test_every_scheduler_follows_the_path_to_the_clean_latents(
    kind: str, name: str, make_backbone: Callable, make_conditioning: Callable
) -> None:
    """On the way, what the network is shown is alpha * clean + sigma * the initial noise (LCM: fresh noise)."""
    config, conditioning = schedule(kind), make_conditioning(5)
    backbone, seen = make_backbone(config), []
    inner = backbone.predict

    def predict(latents: torch.Tensor, t: torch.Tensor, *rest: Any) -> Any:
        seen.append((latents.double(), float(t)))
        return inner(latents, t, *rest)

    backbone.predict = predict
    run(backbone, conditioning, scheduler=make_scheduler(config, name), steps=8)
    noise = initial_noise(tuple(conditioning.clean.shape), seed=7).double()
    from_definition = make_scheduler(config, "euler" if kind == "flow" else "ddim")
    for latents, t in seen[1:]:
        if kind == "flow":
            sigma = t / 1000
            alpha = 1 - sigma
        else:
            kept = float(from_definition.alphas_cumprod[round(t)])
            alpha, sigma = kept**0.5, (1 - kept) ** 0.5
        rest = (latents - alpha * conditioning.clean.double()) / sigma
        if name == "lcm":
            assert abs(rest.std().item() - 1) < 0.2
        elif kind == "epsilon":  # starts from pure noise where its schedule keeps 7 % of the image
            assert (rest - noise).abs().max() < 0.35
        else:
            torch.testing.assert_close(rest, noise, atol=0.02, rtol=0)


def test_equals_diffusers_own_ddim_loop(make_backbone: Callable, make_conditioning: Callable) -> None:
    config, conditioning = schedule(), make_conditioning(6)
    net = torch.nn.Conv3d(2, 2, 3, padding=1).requires_grad_(False)
    noise = initial_noise(tuple(conditioning.clean.shape), seed=1)

    def network(latents: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return torch.tanh(net(latents.transpose(1, 2)).transpose(1, 2) + t / 1000)

    backbone = make_backbone(config)
    backbone.predict = lambda x, t, c, branches: {b: network(x, t) for b in branches}
    theirs = diffusers.DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        clip_sample=False,
        timestep_spacing="trailing",
        rescale_betas_zero_snr=True,
    )
    for steps in (4, 20, 30):  # 30: its previous timestep is not the next one of the list
        theirs.set_timesteps(steps)
        latents = noise
        for t in theirs.timesteps:
            latents = theirs.step(network(latents, t), t, latents).prev_sample
        made = run(backbone, conditioning, noise=noise, steps=steps)
        torch.testing.assert_close(made, latents, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_bit_reproducible_also_with_a_used_scheduler(
    name: str, make_backbone: Callable, make_conditioning: Callable
) -> None:
    config, conditioning, scheduler = schedule(), make_conditioning(20), make_scheduler(schedule(), name)
    made = [run(make_backbone(config), conditioning, scheduler=scheduler) for _ in range(2)]
    fresh = run(make_backbone(config), conditioning, scheduler=make_scheduler(config, name))
    assert torch.equal(made[0], made[1]) and torch.equal(made[0], fresh)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("blend", ["uniform", "linear"])
def test_windows_change_nothing_where_frames_are_independent(
    name: str, blend: str, make_backbone: Callable, make_conditioning: Callable
) -> None:
    config, conditioning = schedule(), make_conditioning(21)
    backbone = make_backbone(config)
    right = backbone.right_answer
    backbone.right_answer = lambda x, t, clean: right(x, t, clean) + 0.1 * x.sin()  # not the clean latents
    one, many = (
        run(backbone, conditioning, scheduler=make_scheduler(config, name), windows=windows)
        for windows in (CyclicOverlap(21, 0), CyclicOverlap(8, 3, blend=blend))
    )
    assert (one - conditioning.clean).abs().max() > 0.01
    torch.testing.assert_close(one, many, atol=2e-4, rtol=1e-4)


def test_overlaps_are_averaged(make_backbone: Callable, make_conditioning: Callable) -> None:
    """One DDIM step of a network that answers with a constant per window: the blend of the windows."""
    backbone, conditioning = make_backbone(schedule("sample")), make_conditioning(7)
    backbone.predict = lambda x, t, c, branches: {b: torch.full_like(x, c.frames[0] + 1.0) for b in branches}
    made = run(backbone, conditioning, steps=1, windows=CyclicOverlap(4, 1))
    assert made[0, :, 0, 0, 0].tolist() == [1, 1, 1, 2.5, 4, 4, 4]


def test_only_the_branches_that_count_are_asked(make_backbone: Callable, make_conditioning: Callable) -> None:
    backbone = make_backbone(schedule())
    run(backbone, make_conditioning(5), guidance=SignalFusion(2, 2.5, 1, start=0.5))
    assert [len(call.branches) for call in backbone.calls] == [1, 1, 1, 3, 3, 3]
    backbone.calls.clear()
    run(backbone, make_conditioning(5), guidance=SignalFusion(3.5, 3.5, 3.5))
    assert {call.branches for call in backbone.calls} == {(Branch.UNCONDITIONAL, Branch.DRIVING)}


def test_history_only_where_a_window_begins_at_frame_0(make_backbone: Callable, make_conditioning: Callable) -> None:
    backbone = make_backbone(schedule())
    run(backbone, make_conditioning(20, history=3), guidance=SignalFusion(2, 2.5, 1.5))
    assert len({call.frames[0] for call in backbone.calls}) > 3
    for call in backbone.calls:
        assert call.num_history == (3 if call.frames[0] == 0 else 0)
        assert (Branch.FULL in call.branches) == (call.frames[0] == 0)
        assert Branch.DRIVING in call.branches


def test_windows_move_with_the_steps(make_backbone: Callable, make_conditioning: Callable) -> None:
    backbone, windows = make_backbone(schedule()), CyclicOverlap(8, 3)
    run(backbone, make_conditioning(21), windows=windows)
    asked: dict[float, list[int]] = {}
    for call in backbone.calls:
        asked.setdefault(call.timestep, []).append(call.frames[0])
    assert list(asked.values()) == [windows.starts(step, 21) for step in range(6)]


def test_the_observer_is_told_everything(make_backbone: Callable, make_conditioning: Callable) -> None:
    conditioning, events = make_conditioning(21), []
    windows = CyclicOverlap(8, 3)
    made = run(make_backbone(schedule()), conditioning, windows=windows, observer=events.append)
    counts = [len(windows.windows(step, 21)) for step in range(6)]
    wanted = [
        (step, 6, min(window, count), count, window > count)
        for step, count in enumerate(counts)
        for window in range(1, count + 2)
    ]
    assert [(e.step, e.steps, e.window, e.windows, e.step_done) for e in events] == wanted
    assert all(event.latents.shape == made.shape for event in events)
    for event in events:
        if event.step_done:  # the estimate is already right after the first step
            torch.testing.assert_close(event.latents, conditioning.clean, atol=1e-4, rtol=0)
    assert torch.equal(made, run(make_backbone(schedule()), conditioning, windows=windows))


@pytest.mark.parametrize(("kind", "name"), COMBINATIONS)
def test_previews_are_clean_whatever_the_scheduler(
    kind: str, name: str, make_backbone: Callable, make_conditioning: Callable
) -> None:
    config, conditioning, events = schedule(kind), make_conditioning(5), []
    run(
        make_backbone(config),
        conditioning,
        scheduler=make_scheduler(config, name),
        observer=events.append,
    )
    for event in filter(lambda event: event.step_done, events):
        torch.testing.assert_close(event.latents, conditioning.clean, atol=5e-3, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_cancelling_leaves_nothing_behind(name: str, make_backbone: Callable, make_conditioning: Callable) -> None:
    config, conditioning, scheduler = schedule(), make_conditioning(20), make_scheduler(schedule(), name)
    wanted = run(make_backbone(config), conditioning, scheduler=make_scheduler(config, name))

    def cancel(event: StepEvent) -> None:
        if event.step == 3 and event.window == 2:
            raise CancelledError("stopped")

    backbone = make_backbone(config)
    with pytest.raises(CancelledError):
        run(backbone, conditioning, scheduler=scheduler, observer=cancel)
    asked = sum(len(CyclicOverlap(8, 3).windows(step, 20)) for step in range(3)) + 2
    assert len(backbone.calls) == asked  # it stopped at once
    assert torch.equal(run(make_backbone(config), conditioning, scheduler=scheduler), wanted)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", NAMES)
def test_half_precision_networks(
    name: str, dtype: torch.dtype, make_backbone: Callable, make_conditioning: Callable
) -> None:
    """The network works in its own dtype, the latents in float32: Euler's sigma of 4096 does no harm."""
    config, conditioning = schedule(), make_conditioning(9)
    backbone, dtypes = make_backbone(config), set()
    inner = backbone.predict

    def predict(latents: torch.Tensor, *rest: Any) -> Any:
        dtypes.add(latents.dtype)
        return inner(latents, *rest)

    backbone.predict = predict
    noise = initial_noise(tuple(conditioning.clean.shape), seed=7, dtype=dtype)
    scheduler, events = make_scheduler(config, name), []
    made = run(backbone, conditioning, noise=noise, scheduler=scheduler, observer=events.append)
    assert made.dtype == dtype and dtypes == {dtype}
    assert {event.latents.dtype for event in events} == {torch.float32}
    torch.testing.assert_close(made.float(), conditioning.clean, atol=0.05, rtol=0)


def test_nothing_is_recorded_for_autograd(make_backbone: Callable, make_conditioning: Callable) -> None:
    noise = torch.randn(1, 5, 2, 3, 4, requires_grad=True)
    kept = noise.detach().clone()
    made = run(make_backbone(schedule()), make_conditioning(5), noise=noise)
    assert not made.requires_grad and not made.is_inference()
    assert torch.equal(noise, kept)


@pytest.mark.cuda
@pytest.mark.parametrize("name", NAMES)
def test_cuda_gives_the_same(name: str, make_backbone: Callable, make_conditioning: Callable) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    config, conditioning = schedule(), make_conditioning(21)
    wanted = run(make_backbone(config), conditioning, scheduler=make_scheduler(config, name))
    noise = initial_noise(tuple(conditioning.clean.shape), seed=7, device="cuda")
    made = run(make_backbone(config), conditioning, scheduler=make_scheduler(config, name), noise=noise)
    torch.testing.assert_close(made.cpu(), wanted, atol=1e-3, rtol=1e-3)
