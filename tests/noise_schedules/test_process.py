"""Timesteps that training draws."""

import pytest
import torch

from declouds.diffusion_losses.log_normal import LogNormal
from declouds.diffusion_losses.min_snr import MinSNR
from declouds.errors import UserError
from declouds.noise_schedules.brownian_bridge import BrownianBridge
from declouds.noise_schedules.ir_sde import IRSDE
from declouds.noise_schedules.mean_reverting import MeanReverting
from declouds.registry import DIFFUSION_LOSSES, NOISE_SCHEDULES


@pytest.mark.parametrize("loss", ["MinSNR", "UniformLoss"])
@pytest.mark.parametrize("schedule", NOISE_SCHEDULES.names())
@pytest.mark.parametrize("steps", [50, 1000])
def test_every_timestep_is_drawn_and_all_alike(loss, schedule, steps):
    process = NOISE_SCHEDULES.build(dict(type=schedule, num_steps=steps))
    each = 100
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        t = DIFFUSION_LOSSES.build(dict(type=loss)).draw_times(each * steps, process)
    counts = torch.bincount(t.ceil().long() - 1 if process.continuous else t)
    assert len(counts) == steps and counts.min() > 0
    chi_squared = float(((counts - each) ** 2 / each).sum())  # mean steps - 1, variance 2 (steps - 1)
    assert abs(chi_squared - (steps - 1)) < 5 * (2 * (steps - 1)) ** 0.5


@pytest.mark.parametrize("schedule", NOISE_SCHEDULES.names())
def test_log_normal_draws_levels_of_its_law(schedule):
    process = NOISE_SCHEDULES.build(dict(type=schedule))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        t = LogNormal(mean=-1.0, std=0.3).draw_times(4000, process)
    alpha, sigma = process.alpha_sigma(t)
    level = (sigma / alpha).log()
    if schedule != "StraightPath":  # from an image its noise has 0.1 (s / (1 - s)): the law is that of another range
        assert abs(float(level.mean()) + 1) < 0.03
        assert abs(float(level.std()) - 0.3) < 0.02


@pytest.mark.parametrize("schedule", NOISE_SCHEDULES.names())
def test_a_time_of_a_level_has_that_level(schedule):
    process = NOISE_SCHEDULES.build(dict(type=schedule))
    alpha, sigma = process.alpha_sigma(times := process.times_of_grid()[100:-100:50])
    found = process.time_of((sigma / alpha).flatten())
    torch.testing.assert_close(found.float(), times.float(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("predicts", ["noise", "clear", "velocity", "flow", "residual", "edm"])
def test_min_snr_weighs_the_error_of_the_clear_image(predicts):
    process, loss = IRSDE("cloudy"), MinSNR(gamma=2)
    if predicts not in process.predictions:
        process = IRSDE("noise")
    t, generator = torch.tensor([300.0]), torch.Generator().manual_seed(0)
    clear, noise, cloudy = (torch.randn(1, 1, 8, 8, generator=generator) for _ in range(3))
    process = process.bind(cloudy)
    x_t, target = process.add_noise(clear, noise, t), process.target(clear, noise, t, predicts)
    prediction = target + 0.1 * torch.randn(target.shape, generator=generator)
    error = (process.clear_from(prediction, x_t, t, predicts) - clear).square().mean()
    alpha, sigma = process.alpha_sigma(t)
    expected = float((alpha / sigma).square().clamp(max=2)) * float(error)
    assert float(loss(prediction, target, t, process, predicts)) == pytest.approx(expected, rel=1e-3)


def test_edm_has_unit_variance_in_and_out():
    process, generator = MeanReverting("noise", data_std=0.3), torch.Generator().manual_seed(0)
    clear, noise = (
        0.3 * torch.randn(1, 1, 200, 200, generator=generator),
        torch.randn(1, 1, 200, 200, generator=generator),
    )
    for time in (1.0, 100.0, 1000.0):
        t = torch.tensor([time])
        x_in, _ = process.network_input(process.add_noise(clear, noise, t), t, "edm")
        assert float(x_in.std()) == pytest.approx(0.3, rel=0.02)
        assert float(process.target(clear, noise, t, "edm").std()) == pytest.approx(1, rel=0.02)


def test_predictions_without_a_meaning_are_refused():
    with pytest.raises(UserError, match="predicts='noise' has no meaning for it: use one of clear, residual, edm"):
        BrownianBridge("cloudy").mix(torch.zeros(1), "noise")
    with pytest.raises(UserError, match="unknown endpoint 'clear': use noise, cloudy, prior"):
        BrownianBridge("clear")
    with pytest.raises(UserError, match="the process ends in the prior: give the model a reference"):
        BrownianBridge("prior").bind(torch.zeros(1, 3, 8, 8))
