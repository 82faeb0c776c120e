"""Contracts of noise schedules and samplers."""

import torch
from torch import nn

from declouds.noise_schedules.linear import LinearSchedule
from declouds.noise_schedules.process import PREDICTIONS
from declouds.noise_schedules.variance_preserving import VariancePreserving
from declouds.registry import DIFFUSION_LOSSES, NOISE_SCHEDULES, SAMPLERS
from declouds.testing.parts import check_description, random_images, random_noise, require


def check_noise_schedule(config: dict) -> None:
    """Check that the noise level increases with t, and that every parametrisation recovers the clear image."""
    check_description(NOISE_SCHEDULES, config)
    schedule = NOISE_SCHEDULES.build(config)
    alpha, sigma = schedule.alpha_sigma(torch.arange(schedule.num_steps))
    require(
        alpha.shape == sigma.shape == (schedule.num_steps, 1, 1, 1),
        "alpha_sigma(t) must return two tensors (B, 1, 1, 1)",
    )
    require(bool((alpha > 0).all() and (sigma > 0).all()), "alpha and sigma must be positive")
    require(bool(((alpha / sigma).diff(dim=0) < 0).all()), "x_t must get noisier with every timestep")
    if isinstance(schedule, VariancePreserving):
        require(bool(((alpha**2 + sigma**2 - 1).abs() < 1e-6).all()), "alpha^2 + sigma^2 must be 1")
    t = torch.tensor([0, schedule.num_steps // 2, schedule.num_steps - 1])
    clear, noise = random_images(1, 3, 3, (13, 18)), random_noise(2, 3, 3, (13, 18))
    cloudy = random_images(3, 3, 3, (13, 18))
    alpha, sigma = schedule.alpha_sigma(t)
    process = schedule.bind(cloudy, clear)
    x_t = process.add_noise(clear, noise, t)
    rounding = 1e-5 + 2e-6 / alpha  # float32 precision of the clear image in x_t
    for predicts in PREDICTIONS:
        prediction = process.target(clear, noise, t, predicts)
        error = (process.clear_from(prediction, x_t, t, predicts) - clear).abs()
        require(bool((error <= rounding).all()), f"clear_from({predicts!r}) must recover the clear image")
    require(process.clear_from(noise, x_t, t, "noise").dtype == torch.float32, "clear_from must keep float32")
    drawn = process.draw_times(64)
    require(
        drawn.shape == (64,) and 0 <= int(drawn.min()) <= int(drawn.max()) < schedule.num_steps,
        "draw_times must return timesteps of the schedule",
    )
    require(process.start(noise).shape == noise.shape, "start must keep the shape of the noise")


def check_diffusion_loss(config: dict) -> None:
    """Check that timesteps are valid, and that only a perfect prediction has zero loss."""
    check_description(DIFFUSION_LOSSES, config)
    loss, process = DIFFUSION_LOSSES.build(config), LinearSchedule()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        t = loss.draw_times(256, process)
    require(t.shape == (256,) and not t.is_floating_point(), "draw_times must return one integer per image")
    require(0 <= int(t.min()) and int(t.max()) < process.num_steps, "timesteps must be between 0 and num_steps - 1")
    target = random_images(1, 3, 3, (8, 9))
    t = torch.tensor([0, 500, 999])
    for predicts in PREDICTIONS:
        require(
            bool((loss(target, target, t, process, predicts) == 0).all()), "a perfect prediction must have a loss of 0"
        )
        wrong = loss(target + 0.1, target, t, process, predicts)
        require(
            wrong.shape == (3,) and bool((wrong > 0).all()),
            "the loss must be (B,), and positive for a wrong prediction",
        )


def check_sampler(config: dict) -> None:
    """Check that a perfect denoiser gives the clear image, and that every x_t has the noise level of its timestep."""
    check_description(SAMPLERS, config)
    schedule, sampler = LinearSchedule(), SAMPLERS.build(config)
    start = random_noise(2, 2, 3, (37, 50))
    times: list[int] = []

    def flat_denoiser(x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        require(t.shape == (2,) and not t.is_floating_point(), "denoise must be called with one integer t per image")
        times.append(int(t[0]))
        clear = torch.tensor([-0.6, 0.1, 0.8])[:, None, None].expand_as(x_t)  # the same image at every size
        alpha, sigma = schedule.alpha_sigma(t)
        noise = (x_t - alpha * clear) / sigma
        require(0.8 < float(noise.std()) < 1.2, f"x_t at t={times[-1]} has {noise.std():.2f} of the expected noise")
        return clear

    sampler(flat_denoiser, schedule, start)
    require(times == sorted(set(times), reverse=True), f"timesteps must decrease from step to step, got {times[:20]}")
    clear = random_images(1, 2, 3, (37, 50))
    result = sampler(lambda x_t, t: nn.functional.interpolate(clear, size=x_t.shape[-2:]), schedule, start)
    require(torch.allclose(result, clear, atol=1e-4), "with a perfect denoiser the result must be the clear image")

    def imperfect_denoiser(x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return (0.5 * x_t).clamp(-1, 1)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        once = sampler(imperfect_denoiser, schedule, start)
        torch.manual_seed(1)
        again = sampler(imperfect_denoiser, schedule, start)
    require(torch.equal(again, once), "the same start noise must give the same result")
    flipped = sampler(imperfect_denoiser, schedule, start.flip(0))
    require(not torch.equal(flipped, once), "the result must depend on the start noise")
    same_kind = once.shape == start.shape and once.dtype == torch.float32
    require(same_kind, "the result must have the shape and data type of the noise")
