"""Contracts of noise schedules and samplers."""

import torch
from torch import nn

from declouds.noise_schedules.linear import LinearSchedule
from declouds.noise_schedules.process import PREDICTIONS
from declouds.noise_schedules.variance_preserving import VariancePreserving
from declouds.registry import DIFFUSION_LOSSES, NOISE_SCHEDULES, SAMPLERS
from declouds.testing.parts import check_description, random_images, random_noise, require


def check_noise_schedule(config: dict) -> None:
    """Check that the noise only grows, and that every kind of prediction leads back to the clear image."""
    check_description(NOISE_SCHEDULES, config)
    schedule = NOISE_SCHEDULES.build(config)
    alpha, sigma = schedule.alpha_sigma(torch.arange(schedule.num_steps))
    require(alpha.shape == sigma.shape == (schedule.num_steps, 1, 1, 1), "alpha_sigma(t) gives two of (B, 1, 1, 1)")
    require(bool((alpha > 0).all() and (sigma > 0).all()), "alpha and sigma are greater than 0")
    require(bool(((alpha / sigma).diff(dim=0) < 0).all()), "x_t gets noisier with every step")
    if isinstance(schedule, VariancePreserving):
        require(bool(((alpha**2 + sigma**2 - 1).abs() < 1e-6).all()), "alpha^2 + sigma^2 = 1")
    t = torch.tensor([0, schedule.num_steps // 2, schedule.num_steps - 1])
    clear, noise = random_images(1, 3, 3, (13, 18)), random_noise(2, 3, 3, (13, 18))
    cloudy = random_images(3, 3, 3, (13, 18))
    alpha, sigma = schedule.alpha_sigma(t)
    process = schedule.bind(cloudy, clear)
    x_t = process.add_noise(clear, noise, t)
    rounding = 1e-5 + 2e-6 / alpha  # what float32 leaves of the clear image in x_t
    for predicts in PREDICTIONS:
        prediction = process.target(clear, noise, t, predicts)
        error = (process.clear_from(prediction, x_t, t, predicts) - clear).abs()
        require(bool((error <= rounding).all()), f"clear_from({predicts!r}) gives the clear image back")
    require(process.clear_from(noise, x_t, t, "noise").dtype == torch.float32, "clear_from keeps float32")
    drawn = process.draw_times(64)
    require(
        drawn.shape == (64,) and 0 <= int(drawn.min()) <= int(drawn.max()) < schedule.num_steps, "draw_times gives t"
    )
    require(process.start(noise).shape == noise.shape, "start keeps the shape of the noise")


def check_diffusion_loss(config: dict) -> None:
    """Check that timesteps are those of the process, and that a perfect prediction alone costs nothing."""
    check_description(DIFFUSION_LOSSES, config)
    loss, process = DIFFUSION_LOSSES.build(config), LinearSchedule()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        t = loss.draw_times(256, process)
    require(t.shape == (256,) and not t.is_floating_point(), "draw_times gives one whole number an image")
    require(0 <= int(t.min()) and int(t.max()) < process.num_steps, "timesteps lie between 0 and num_steps - 1")
    target = random_images(1, 3, 3, (8, 9))
    t = torch.tensor([0, 500, 999])
    for predicts in PREDICTIONS:
        require(bool((loss(target, target, t, process, predicts) == 0).all()), "a perfect prediction has a loss of 0")
        wrong = loss(target + 0.1, target, t, process, predicts)
        require(wrong.shape == (3,) and bool((wrong > 0).all()), "the loss is (B,), above 0 for a wrong prediction")


def check_sampler(config: dict) -> None:
    """Check that a perfect denoiser gives the clear image, by way of x_t that carry the noise of their times."""
    check_description(SAMPLERS, config)
    schedule, sampler = LinearSchedule(), SAMPLERS.build(config)
    start = random_noise(2, 2, 3, (37, 50))
    times: list[int] = []

    def flat(x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        require(t.shape == (2,) and not t.is_floating_point(), "denoise is given one whole number t per image")
        times.append(int(t[0]))
        clear = torch.tensor([-0.6, 0.1, 0.8])[:, None, None].expand_as(x_t)  # the same image at every size
        alpha, sigma = schedule.alpha_sigma(t)
        noise = (x_t - alpha * clear) / sigma
        require(
            0.8 < float(noise.std()) < 1.2, f"x_t at t={times[-1]} has {noise.std():.2f} of the noise it should have"
        )
        return clear

    sampler(flat, schedule, start)
    require(times == sorted(set(times), reverse=True), f"times fall from step to step; they are {times[:20]}")
    clear = random_images(1, 2, 3, (37, 50))
    result = sampler(lambda x_t, t: nn.functional.interpolate(clear, size=x_t.shape[-2:]), schedule, start)
    require(torch.allclose(result, clear, atol=1e-4), "a perfect denoiser makes it return the clear image")

    def rough(x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return (0.5 * x_t).clamp(-1, 1)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        once = sampler(rough, schedule, start)
        torch.manual_seed(1)
        require(torch.equal(sampler(rough, schedule, start), once), "the same start noise gives the same result")
    require(
        not torch.equal(sampler(rough, schedule, start.flip(0)), once), "the start noise is what a result starts from"
    )
    require(once.shape == start.shape and once.dtype == torch.float32, "the result has the shape and type of the noise")
