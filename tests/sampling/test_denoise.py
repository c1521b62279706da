"""Starting from given latents: only the last part of the schedule is walked, from latents of exactly its noise."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_core.config import LCM_STEPS, SamplingConfig, ScheduleConfig, SchedulerName
from model_core.errors import InputError
from model_core.sampling import CyclicOverlap, SignalFusion, initial_noise, make_scheduler, sample
from model_core.sampling.schedule import start, whole_schedule

NAMES = get_args(SchedulerName)
COMBINATIONS = [
    *((kind, name) for kind in ("epsilon", "v_prediction", "sample") for name in NAMES),
    *(("flow", name) for name in ("euler", "dpmpp_2m", "unipc")),
]
# fixtures are functions without state, so examples may share them
PROPERTY = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

schedules = st.builds(
    lambda combination, spacing, zero_snr, shift: (
        ScheduleConfig(
            prediction_type=combination[0],
            rescale_betas_zero_snr=zero_snr and combination[0] != "epsilon",
            timestep_spacing=spacing,
            flow_shift=shift,
        ),
        combination[1],
    ),
    st.sampled_from(COMBINATIONS),
    st.sampled_from(["trailing", "leading", "linspace"]),
    st.booleans(),
    st.sampled_from([1.0, 3.0]),
)
parts = st.tuples(st.integers(1, 12), st.floats(0.25, 1.0)).filter(lambda part: part[0] <= int(LCM_STEPS * part[1]))


class Watched:
    """A backbone whose inputs are kept, in float64, with their timesteps."""

    def __init__(self, backbone: Any) -> None:
        self.inner, self.seen = backbone, []

    def predict(self, latents: torch.Tensor, t: torch.Tensor, *rest: Any) -> Any:
        self.seen.append((latents.double(), float(t)))
        return self.inner.predict(latents, t, *rest)


def run(backbone: Any, conditioning: Any, config: ScheduleConfig, name: str, **given: Any) -> torch.Tensor:
    values: dict[str, Any] = {
        "steps": 6,
        "scheduler": make_scheduler(config, name),
        "windows": CyclicOverlap(8, 3),
        "guidance": SignalFusion(),
        "generator": torch.Generator().manual_seed(3),
        **given,
    }
    noise = values.pop("noise", initial_noise(tuple(conditioning.clean.shape), seed=7))
    return sample(backbone, conditioning, noise, **values)


def alpha_sigma(config: ScheduleConfig, t: float, alphas_cumprod: Callable) -> tuple[float, float]:
    """From the definitions; between two trained timesteps sigma / alpha is interpolated, as Euler's is."""
    if config.prediction_type == "flow":
        return 1 - t / 1000, t / 1000
    kept = alphas_cumprod(config).clamp(min=2**-24).numpy()
    ratio = float(np.interp(t, np.arange(1000), ((1 - kept) / kept) ** 0.5))
    return 1 / math.hypot(1, ratio), ratio / math.hypot(1, ratio)


@PROPERTY
@given(schedule=schedules, part=parts)
def test_from_the_truth_the_right_answers_stay_on_its_path(
    schedule: Any, part: Any, make_backbone: Any, make_conditioning: Any, reference_alphas_cumprod: Any
) -> None:
    """The network sees alpha * clean + sigma * noise from the first step to the last, and clean latents come out."""
    (config, name), (steps, denoise) = schedule, part
    conditioning, backbone = make_conditioning(5), Watched(make_backbone(config))
    noise = initial_noise(tuple(conditioning.clean.shape), seed=7).double()
    made = run(backbone, conditioning, config, name, steps=steps, denoise=denoise, initial=conditioning.clean)
    torch.testing.assert_close(made, conditioning.clean, atol=2e-3, rtol=0)
    assert len(backbone.seen) == steps
    for index, (latents, t) in enumerate(backbone.seen):
        if denoise == 1 or (index > 0 and (name == "lcm" or (name, config.timestep_spacing) == ("ddim", "linspace"))):
            continue  # pure noise; fresh noise; diffusers' DDIM steps beside the timesteps of this spacing
        alpha, sigma = alpha_sigma(config, t, reference_alphas_cumprod)
        wanted = alpha * conditioning.clean.double() + sigma * noise
        # diffusers' DDIM may step to one timestep beside the next in its list: some 0.005 times noise of up to 4.5
        torch.testing.assert_close(latents, wanted, atol=0.03 if index else 2e-3, rtol=0)


@PROPERTY
@given(schedule=schedules, part=parts.filter(lambda part: part[1] < 1))
def test_the_start_has_the_given_mean_and_the_noise_of_its_timestep(
    schedule: Any, part: Any, make_backbone: Any, make_conditioning: Any, reference_alphas_cumprod: Any
) -> None:
    (config, name), (steps, denoise) = schedule, part
    conditioning, backbone = make_conditioning(40), Watched(make_backbone(config))
    conditioning = type(conditioning)(torch.zeros(1, 40, 2, 16, 16), conditioning.frames)
    run(
        backbone, conditioning, config, name, steps=steps, denoise=denoise, initial=torch.full((1, 40, 2, 16, 16), 3.0),
        windows=CyclicOverlap(40, 0),
    )  # fmt: skip
    latents, t = backbone.seen[0]
    alpha, sigma = alpha_sigma(config, t, reference_alphas_cumprod)
    assert latents.mean().item() == pytest.approx(3 * alpha, abs=0.03)  # 20,480 numbers: six standard errors
    assert latents.std().item() == pytest.approx(sigma, abs=0.03)


@PROPERTY
@given(schedule=schedules, part=parts, seed=st.integers(0, 100))
def test_whatever_it_starts_from_the_right_answers_lead_to_the_truth(
    schedule: Any, part: Any, seed: int, make_backbone: Any, make_conditioning: Any
) -> None:
    (config, name), (steps, denoise) = schedule, part
    conditioning = make_conditioning(5)
    other = torch.randn(conditioning.clean.shape, generator=torch.Generator().manual_seed(seed))
    made = run(make_backbone(config), conditioning, config, name, steps=steps, denoise=denoise, initial=other)
    torch.testing.assert_close(made, conditioning.clean, atol=2e-3, rtol=0)


@pytest.mark.parametrize(("kind", "name"), COMBINATIONS)
def test_all_of_the_schedule_is_pure_noise_to_the_bit(
    kind: str, name: str, make_backbone: Any, make_conditioning: Any
) -> None:
    config = ScheduleConfig(prediction_type=kind, rescale_betas_zero_snr=kind != "epsilon")
    conditioning = make_conditioning(12)
    noise = initial_noise(tuple(conditioning.clean.shape), seed=7)
    plain = Watched(make_backbone(config))
    made = run(plain, conditioning, config, name)
    also = run(make_backbone(config), conditioning, config, name, denoise=1.0, initial=torch.ones_like(noise))
    assert torch.equal(made, also)
    scheduler = make_scheduler(config, name)
    assert torch.equal(start(scheduler, 6), scheduler.timesteps)
    first = scheduler.scale_model_input(noise * scheduler.init_noise_sigma, scheduler.timesteps[0])
    assert torch.equal(plain.seen[0][0], first[:, :8].double())


@pytest.mark.parametrize(("kind", "name"), [pair for pair in COMBINATIONS if pair[1] != "lcm"])
@pytest.mark.parametrize(
    ("steps", "denoise", "whole"), [(4, 0.5, 8), (10, 0.3, 33), (1, 0.05, 20), (20, 0.99, 20), (250, 0.25, 1000)]
)
def test_the_last_steps_of_a_longer_schedule_as_in_comfyui(
    kind: str, name: str, steps: int, denoise: float, whole: int
) -> None:
    config = ScheduleConfig(prediction_type=kind, rescale_betas_zero_snr=kind != "epsilon")
    assert whole_schedule(steps, denoise) == whole
    path = start(make_scheduler(config, name), steps, denoise)
    assert torch.equal(path, start(make_scheduler(config, name), whole)[whole - steps :])


@pytest.mark.parametrize(("steps", "denoise", "first"), [(4, 0.5, 499), (4, 0.9, 899), (25, 0.5, 499), (1, 0.02, 19)])
def test_lcm_starts_exactly_there_and_stays_among_its_own_steps(steps: int, denoise: float, first: int) -> None:
    path = start(make_scheduler(ScheduleConfig(), "lcm"), steps, denoise)
    assert len(path) == steps and path[0] == first and (path.diff() < 0).all()
    assert set(path.tolist()) <= {20 * step - 1 for step in range(1, LCM_STEPS + 1)}


@pytest.mark.parametrize(
    ("name", "steps", "denoise", "can"),
    [
        ("lcm", 26, 0.5, "1 to 25"),
        ("ddim", 501, 0.5, "1 to 500"),
        ("euler", 0, 0.5, "1 to 500"),
        ("lcm", 1, 0.01, "0 to 0"),
    ],
)
def test_more_steps_than_fit_the_part_are_refused(name: str, steps: int, denoise: float, can: str) -> None:
    with pytest.raises(InputError, match=f"steps {steps}, denoise {denoise}: .*{can}.*raise denoise"):
        start(make_scheduler(ScheduleConfig(), name), steps, denoise)


@pytest.mark.parametrize("denoise", [0.0, -0.5, 1.01, math.nan, math.inf])
def test_what_is_no_part_is_refused_by_name(denoise: float) -> None:
    with pytest.raises(InputError, match=f"denoise {denoise}: must be above 0 and at most 1"):
        SamplingConfig(denoise=denoise)
    with pytest.raises(InputError, match=f"denoise {denoise}: must be above 0 and at most 1"):
        start(make_scheduler(ScheduleConfig()), 4, denoise)


def test_a_part_needs_latents_to_start_from(make_backbone: Any, make_conditioning: Any) -> None:
    backbone, conditioning = make_backbone(), make_conditioning(5)
    with pytest.raises(InputError, match="denoise 0.5: .*carried portrait.*set denoise to 1"):
        run(backbone, conditioning, ScheduleConfig(), "ddim", denoise=0.5)
    with pytest.raises(InputError, match=r"initial: shape \(1, 4, 2, 3, 4\), the noise has \(1, 5, 2, 3, 4\)"):
        run(backbone, conditioning, ScheduleConfig(), "ddim", denoise=0.5, initial=conditioning.clean[:, :4])
    with pytest.raises(InputError, match="steps 0"):
        run(backbone, conditioning, ScheduleConfig(), "ddim", steps=0, denoise=0.5, initial=conditioning.clean)
    assert backbone.calls == []


@pytest.mark.parametrize("name", NAMES)
def test_a_used_scheduler_starts_anew(name: str, make_backbone: Any, make_conditioning: Any) -> None:
    config, conditioning, scheduler = ScheduleConfig(), make_conditioning(12), make_scheduler(ScheduleConfig(), name)
    values = {"scheduler": scheduler, "initial": conditioning.clean}
    whole = run(make_backbone(config), conditioning, config, name)
    half = run(make_backbone(config), conditioning, config, name, denoise=0.5, initial=conditioning.clean)
    assert torch.equal(run(make_backbone(config), conditioning, config, name, denoise=0.5, **values), half)
    assert torch.equal(run(make_backbone(config), conditioning, config, name, **values), whole)
    assert torch.equal(run(make_backbone(config), conditioning, config, name, denoise=0.5, **values), half)


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_latents_start_in_float32(name: str, make_backbone: Any, make_conditioning: Any) -> None:
    config, conditioning = ScheduleConfig(), make_conditioning(5)
    noise = initial_noise(tuple(conditioning.clean.shape), seed=7).half()
    given = {"noise": noise, "initial": conditioning.clean.half(), "denoise": 0.5}
    made = run(make_backbone(config), conditioning, config, name, **given)
    assert made.dtype == torch.float16
    torch.testing.assert_close(made.float(), conditioning.clean, atol=0.05, rtol=0)
