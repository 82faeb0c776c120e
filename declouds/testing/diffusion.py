"""Contracts of noise schedules and samplers."""

import torch
from torch import nn

from declouds.noise_schedules.linear import LinearSchedule
from declouds.noise_schedules.variance_preserving import VariancePreserving
from declouds.registry import DIFFUSION_LOSSES, NOISE_SCHEDULES, SAMPLERS
from declouds.testing.parts import check_description, random_images, random_noise, require


def check_noise_schedule(config: dict) -> None:
    """Check that the clear image only fades with t, and that every parametrisation recovers it."""
    check_description(NOISE_SCHEDULES, config)
    schedule = NOISE_SCHEDULES.build(config)
    steps = schedule.num_steps
    grid = torch.linspace(0, steps, 101)[1:] if schedule.continuous else torch.arange(steps)
    alpha, sigma = schedule.alpha_sigma(grid)
    require(
        alpha.shape == sigma.shape == (len(grid), 1, 1, 1),
        "alpha_sigma(t) must return two tensors (B, 1, 1, 1)",
    )
    inside = slice(None, -1) if schedule.continuous else slice(None)  # the end may be without noise, or clear image
    require(bool((alpha[inside] > 0).all() and (sigma[inside] >= 0).all()), "alpha must be positive, sigma at least 0")
    if not schedule.condition:
        require(bool(((alpha / sigma).diff(dim=0) < 0).all()), "x_t must get noisier with every timestep")
    require(bool((alpha.diff(dim=0) < 0).all()), "x_t must hold less of the clear image with every timestep")
    if isinstance(schedule, VariancePreserving):
        require(bool(((alpha**2 + sigma**2 - 1).abs() < 1e-6).all()), "alpha^2 + sigma^2 must be 1")
    t = grid[[0, len(grid) // 2, -1]]
    clear, noise = random_images(1, 3, 3, (13, 18)), random_noise(2, 3, 3, (13, 18))
    cloudy = random_images(3, 3, 3, (13, 18))
    alpha, sigma = schedule.alpha_sigma(t)
    process = schedule.bind(cloudy, clear)
    x_t = process.add_noise(clear, noise, t)
    for predicts in process.predictions:
        prediction = process.target(clear, noise, t, predicts)
        rounding = 1e-5 + 4e-6 * (1 + process.mix(t, predicts).skip)  # float32 precision of the clear image in x_t
        error = (process.clear_from(prediction, x_t, t, predicts) - clear).abs()
        require(bool((error <= rounding).all()), f"clear_from({predicts!r}) must recover the clear image")
    require(process.clear_from(clear, x_t, t, "clear").dtype == torch.float32, "clear_from must keep float32")
    drawn = process.draw_times(64)
    require(
        drawn.shape == (64,) and 0 <= float(drawn.min()) <= float(drawn.max()) <= float(grid[-1]),
        "draw_times must return timesteps of the schedule",
    )
    require(drawn.is_floating_point() == schedule.continuous, "continuous timesteps are floats, others integers")
    mean, deviation = process.posterior(clear, x_t, t[2:], t[1:2])
    require(
        bool(mean.isfinite().all() and (deviation >= 0).all()), "the posterior must be finite, also from the last time"
    )
    if schedule.condition:
        end = dict(cloudy=cloudy, prior=clear)[schedule.condition[0]]
        last, _ = schedule.alpha_sigma(t[2:])
        require(bool((process.shift(t[2:]) - (1 - last) * end).abs().max() < 1e-6), "a bridge must end in its endpoint")
    require(process.start(noise).shape == noise.shape, "start must keep the shape of the noise")


def check_diffusion_loss(config: dict) -> None:
    """Check that timesteps are valid, and that only a perfect prediction has zero loss."""
    check_description(DIFFUSION_LOSSES, config)
    loss, process = DIFFUSION_LOSSES.build(config), LinearSchedule()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        t = loss.draw_times(256, process)
    require(t.shape == (256,) and not t.is_floating_point(), "draw_times must return one timestep per image")
    require(0 <= int(t.min()) and int(t.max()) < process.num_steps, "timesteps must be between 0 and num_steps - 1")
    target = random_images(1, 3, 3, (8, 9))
    t = torch.tensor([0, 500, 999])
    for predicts in process.predictions:
        require(
            bool((loss(target, target, t, process, predicts) == 0).all()), "a perfect prediction must have a loss of 0"
        )
        wrong = loss(target + 0.1, target, t, process, predicts)
        require(
            wrong.shape == (3,) and bool((wrong > 0).all()),
            "the loss must be (B,), and positive for a wrong prediction",
        )


def check_sampler(config: dict, noise_schedule: dict | None = None) -> None:
    """Check that a perfect denoiser gives the clear image, and that every x_t has the noise level of its timestep.

    Args:
        config: config of the sampler.
        noise_schedule: config of the process; the linear schedule if None.
    """
    check_description(SAMPLERS, config)
    sampler = SAMPLERS.build(config)
    start = random_noise(2, 2, 3, (37, 50))
    unbound = NOISE_SCHEDULES.build(noise_schedule or dict(type="LinearSchedule"))
    schedule = unbound.bind(random_images(4, 2, 3, (37, 50)), random_images(5, 2, 3, (37, 50)))
    times: list[float] = []

    def flat_denoiser(x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        require(
            t.shape == (2,) and t.is_floating_point() == schedule.continuous,
            "denoise needs one timestep per image",
        )
        times.append(float(t[0]))
        clear = torch.tensor([-0.6, 0.1, 0.8])[:, None, None].expand_as(x_t)  # the same image at every size
        alpha, sigma = schedule.alpha_sigma(t)
        shift = schedule.shift(t)
        shift = shift if isinstance(shift, float) else nn.functional.interpolate(shift, size=x_t.shape[-2:])
        levels_kept = getattr(sampler, "keeps_noise_level", True)
        if (
            levels_kept and times[-1] < times[0] and bool((sigma > 1e-3).all())
        ):  # a bridge starts at its end, without the clear image
            spread = float(((x_t - shift - alpha * clear) / sigma).std())
            require(0.8 < spread < 1.2, f"x_t at t={times[-1]} has {spread:.2f} of the expected noise")
        return clear

    sampler(flat_denoiser, schedule, start)
    require(times == sorted(times, reverse=True), f"timesteps must not increase from step to step, got {times[:20]}")
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
