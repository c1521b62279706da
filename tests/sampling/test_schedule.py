from __future__ import annotations

from typing import get_args

import diffusers
import pytest
import torch

from model_core.config import ScheduleConfig, SchedulerName
from model_core.errors import InputError
from model_core.sampling import add_noise, clean_from_prediction, make_scheduler, prediction_target
from model_core.sampling.schedule import start

NAMES = get_args(SchedulerName)
KINDS = ("epsilon", "v_prediction", "sample", "flow")


def config(kind: str, **values: object) -> ScheduleConfig:
    return ScheduleConfig(prediction_type=kind, rescale_betas_zero_snr=kind != "epsilon", **values)


def pair(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return tuple(torch.randn((4, 3, 2, 3, 4), generator=generator).to(dtype) for _ in range(2))


def test_preset_of_vividportraits() -> None:
    scheduler = make_scheduler(ScheduleConfig())
    wanted = {
        "prediction_type": "v_prediction",
        "rescale_betas_zero_snr": True,
        "timestep_spacing": "trailing",
        "clip_sample": False,
        "set_alpha_to_one": True,
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
    }
    assert {key: scheduler.config[key] for key in wanted} == wanted
    start(scheduler, 30)
    assert scheduler.timesteps[:3].tolist() == [999, 966, 932] and scheduler.alphas_cumprod[999] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_clean_from_prediction_inverts_the_target(kind: str) -> None:
    scheduler, (clean, noise) = make_scheduler(config(kind), "dpmpp_2m"), pair()
    timesteps = torch.tensor([1, 250, 700, 990])
    noisy = add_noise(scheduler, clean, noise, timesteps)
    target = prediction_target(scheduler, clean, noise, timesteps)
    estimate = clean_from_prediction(scheduler, target, noisy, timesteps)
    torch.testing.assert_close(estimate, clean, atol=1e-4, rtol=1e-4)
    for item, t in enumerate(timesteps):  # a scalar timestep is the same for all
        alone = add_noise(scheduler, clean[item : item + 1], noise[item : item + 1], t)
        assert torch.equal(alone, noisy[item : item + 1])


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_agrees_with_diffusers_training_helpers(kind: str) -> None:
    scheduler, (clean, noise) = make_scheduler(config(kind)), pair()
    timesteps = torch.tensor([0, 300, 700, 999])
    theirs = scheduler.add_noise(clean, noise, timesteps)
    torch.testing.assert_close(add_noise(scheduler, clean, noise, timesteps), theirs)
    if kind == "v_prediction":
        ddpm = diffusers.DDPMScheduler.from_config(scheduler.config)
        theirs = ddpm.get_velocity(clean, noise, timesteps)
        torch.testing.assert_close(prediction_target(scheduler, clean, noise, timesteps), theirs)


@pytest.mark.parametrize("name", ["euler", "dpmpp_2m", "unipc"])
def test_flow_is_a_straight_line(name: str) -> None:
    scheduler, (clean, noise) = make_scheduler(config("flow"), name), pair()
    timesteps = torch.tensor([0.0, 250.0, 800.0, 1000.0])
    sigma = (timesteps / 1000).view(-1, 1, 1, 1, 1)
    noisy = add_noise(scheduler, clean, noise, timesteps)
    torch.testing.assert_close(noisy, (1 - sigma) * clean + sigma * noise)
    torch.testing.assert_close(prediction_target(scheduler, clean, noise, timesteps), noise - clean)


@pytest.mark.parametrize("name", NAMES)
def test_training_sees_the_same_schedule_whatever_the_sampler(name: str) -> None:
    (clean, noise), timesteps = pair(), torch.tensor([0, 300, 700, 998])
    ours = add_noise(make_scheduler(ScheduleConfig(), name), clean, noise, timesteps)
    assert torch.equal(ours, add_noise(make_scheduler(ScheduleConfig(), "ddim"), clean, noise, timesteps))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_half(dtype: torch.dtype) -> None:
    scheduler, (clean, noise) = make_scheduler(ScheduleConfig()), pair(dtype)
    timesteps = torch.tensor([1, 250, 700, 999])
    assert add_noise(scheduler, clean, noise, timesteps).dtype == dtype
    assert prediction_target(scheduler, clean, noise, timesteps).dtype == dtype


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("spacing", ["trailing", "leading", "linspace"])
def test_any_number_of_steps(name: str, spacing: str) -> None:
    scheduler = make_scheduler(config("v_prediction", timestep_spacing=spacing), name)
    for steps in (1, 2, 7, 15, 30, 50) if name == "lcm" else (1, 2, 7, 15, 30, 61, 103, 206):
        start(scheduler, steps)
        timesteps = scheduler.timesteps
        assert len(timesteps) == steps and timesteps.min() >= 0 and (timesteps.diff() < 0).all()


@pytest.mark.parametrize("name", ["euler", "dpmpp_2m", "unipc"])
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_flow_timesteps_are_those_of_the_sigmas(name: str, shift: float) -> None:
    scheduler = make_scheduler(config("flow", flow_shift=shift), name)
    start(scheduler, 10)
    torch.testing.assert_close(scheduler.timesteps, scheduler.sigmas[:-1] * 1000)
    even = torch.linspace(1, 0.1, 10)
    shifted = shift * even / (1 + (shift - 1) * even)
    torch.testing.assert_close(scheduler.sigmas[:-1], shifted, atol=2e-3, rtol=0)
    assert scheduler.sigmas[-1] == 0


@pytest.mark.parametrize("name", ["ddim", "lcm", "heun"])
def test_impossible_flow_samplers_list_what_works(name: str) -> None:
    with pytest.raises(InputError, match=f"'{name}'.*'flow'.*euler, dpmpp_2m, unipc"):
        make_scheduler(config("flow"), name)


def test_impossible_schedules() -> None:
    with pytest.raises(InputError, match="'heun'.*ddim, euler, dpmpp_2m, lcm, unipc"):
        make_scheduler(ScheduleConfig(), "heun")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="zero terminal SNR.*rescale_betas_zero_snr"):
        make_scheduler(ScheduleConfig(prediction_type="epsilon"))


@pytest.mark.parametrize(("name", "steps", "limit"), [("ddim", 0, 1000), ("euler", 1001, 1000), ("lcm", 51, 50)])
def test_bad_steps(name: str, steps: int, limit: int) -> None:
    with pytest.raises(InputError, match=f"steps {steps}.*1 to {limit}"):
        start(make_scheduler(ScheduleConfig(), name), steps)
