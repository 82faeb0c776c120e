"""The numbers of samplers and fusions: against diffusers, closed forms, and what a weight of 1 or 0 has to give."""

from itertools import pairwise

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from declouds.noise_schedules.cosine import CosineSchedule
from declouds.noise_schedules.linear import LinearSchedule
from declouds.registry import MODELS, SAMPLERS
from declouds.samplers.ddim import DDIM
from declouds.samplers.ddpm import DDPM
from declouds.samplers.pyramid import Pyramid

SMALL = dict(base=8, multipliers=(1, 2), blocks=1, attention_at=())


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def rough(x_t, t):
    """Stand in for a denoiser that depends on both of its arguments."""
    return (0.7 * x_t + 0.1 * torch.sin(t / 100)[:, None, None, None]).clamp(-1, 1)


def diffusers_settings(schedule):
    betas = 1 - torch.cat([schedule.alpha[:1] ** 2, (schedule.alpha[1:] / schedule.alpha[:-1]) ** 2])
    return dict(trained_betas=betas.numpy(), clip_sample=False, timestep_spacing="leading", prediction_type="sample")


@pytest.mark.parametrize("schedule", [LinearSchedule(), CosineSchedule()], ids=["linear", "cosine"])
@pytest.mark.parametrize("steps", [1, 7, 10, 50])
def test_every_step_of_ddim_is_that_of_diffusers(schedule, steps):
    theirs = DDIMScheduler(**diffusers_settings(schedule), set_alpha_to_one=True)
    theirs.set_timesteps(steps)
    seen = []

    def denoise(x_t, t):
        seen.append((int(t[0]), x_t))
        return rough(x_t, t)

    start = noise(2, 3, 13, 18)
    result = DDIM(steps)(denoise, schedule, start)
    assert [t for t, _ in seen] == theirs.timesteps.tolist()
    x_t = start
    for t, ours in seen:
        torch.testing.assert_close(ours, x_t, rtol=0, atol=1e-4)
        x_t = theirs.step(rough(x_t, torch.full((2,), t)), t, x_t, eta=0.0).prev_sample
    torch.testing.assert_close(result, x_t, rtol=0, atol=1e-4)


@pytest.mark.parametrize("steps", [10, 1000])
def test_mean_and_deviation_of_a_ddpm_step_are_those_of_diffusers(steps):
    schedule = LinearSchedule()
    theirs = DDPMScheduler(**diffusers_settings(schedule), variance_type="fixed_small")
    theirs.set_timesteps(steps)
    clear, x_t = noise(1, 3, 8, 8).clamp(-1, 1), noise(1, 3, 8, 8, seed=1)
    times = theirs.timesteps.tolist()
    for now, after in list(pairwise(times))[:: max(1, steps // 10)]:
        mean, deviation = schedule.posterior(clear, x_t, torch.tensor([now]), torch.tensor([after]))
        assert float(deviation**2) == pytest.approx(float(theirs._get_variance(now)), rel=1e-3)
        generator = torch.Generator().manual_seed(5)
        expected = theirs.step(clear, now, x_t, generator=generator).prev_sample
        drawn = torch.randn(x_t.shape, generator=torch.Generator().manual_seed(5))
        torch.testing.assert_close(mean + deviation * drawn, expected, rtol=0, atol=1e-3)


def test_ddpm_visits_every_time_and_ends_in_the_clear_image():
    clear, times = noise(1, 3, 9, 11).clamp(-1, 1), []

    def perfect(x_t, t):
        times.append(int(t[0]))
        return clear

    assert torch.equal(DDPM()(perfect, LinearSchedule(), noise(1, 3, 9, 11, seed=1)), clear)
    assert times == list(range(999, -1, -1))


def test_ddpm_repeats_with_its_seed_and_differs_with_another():
    start, schedule = noise(1, 3, 9, 11), LinearSchedule()
    first, second, other = (DDPM(5, seed)(rough, schedule, start) for seed in (0, 0, 1))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("size", "seen"),
    [
        ((13, 18), [(4, 5)] * 6 + [(7, 9)] * 2 + [(13, 18)] * 2),
        ((64, 32), [(16, 8)] * 6 + [(32, 16)] * 2 + [(64, 32)] * 2),
        ((1, 3), [(1, 1)] * 6 + [(1, 2)] * 2 + [(1, 3)] * 2),
    ],
)
def test_pyramid_rounds_odd_sizes_up(size, seen):
    sizes = []

    def denoise(x_t, t):
        sizes.append(tuple(x_t.shape[-2:]))
        return rough(x_t, t)

    result = Pyramid()(denoise, LinearSchedule(), noise(2, 3, *size))
    assert result.shape == (2, 3, *size)
    assert sizes == seen


def test_pyramid_of_one_level_is_ddim():
    start, schedule = noise(1, 3, 13, 18), LinearSchedule()
    assert torch.equal(Pyramid([(1, 10)])(rough, schedule, start), DDIM(10)(rough, schedule, start))


def model_with(weight, eta, sampler):
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type="DiffusionEnhancement",
            denoiser=dict(type="ConditionalUNet", predicts="clear", **SMALL),
            reference=dict(type="GainOffsetUNet", **SMALL),
            fusion=dict(type="FixedWeight", weight=weight),
            noise_schedule=dict(type="LinearSchedule"),
            sampler=sampler,
            eta=eta,
        )
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))  # away from the zeros that some layers start with
    return model


@pytest.fixture(params=SAMPLERS.names())
def sampler(request):
    return dict(type=request.param, **(dict(steps=4) if request.param == "DDPM" else {}))


def test_a_weight_of_1_gives_the_prior(sampler):
    model, cloudy = model_with(1.0, 0.3, sampler), noise(2, 3, 13, 18).clamp(-1, 1)
    result = model.predict(cloudy, noise(2, 3, 13, 18, seed=1))
    assert torch.equal(result, model.prior(cloudy))
    assert (result - cloudy).abs().max() > 1e-2


def test_a_weight_of_0_gives_the_diffusion_alone(sampler):
    model, cloudy, start = model_with(0.0, 0.0, sampler), noise(2, 3, 13, 18).clamp(-1, 1), noise(2, 3, 13, 18, seed=1)
    result = model.predict(cloudy, start)
    assert torch.equal(result, model.predict(cloudy, start, variant="diffusion"))
    assert (result - model.prior(cloudy)).abs().max() > 1e-2


def test_eta_is_the_least_weight():
    weights = []
    model = model_with(0.1, 0.3, dict(type="DDIM", steps=3))
    model.predict(*(noise(1, 3, 8, 8),) * 2, record=lambda step: weights.append(step["weight"]))
    assert len(weights) == 3
    assert all(torch.equal(weight, torch.full((1, 3, 8, 8), 0.3)) for weight in weights)
