"""Samplers against a problem that is solved in closed form: Gaussian data under a linear degradation.

clear ~ N(MEAN, STD^2) and cloudy = GAIN clear + OFFSET + N(0, ERROR^2), pixel by pixel. So clear given cloudy is
Gaussian, and the exact denoiser is its posterior given x_t too. A sampler that is right returns that Gaussian.
"""

from itertools import pairwise

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, HeunDiscreteScheduler

from declouds.noise_schedules.brownian_bridge import BrownianBridge
from declouds.noise_schedules.cosine import CosineSchedule
from declouds.noise_schedules.ir_sde import IRSDE
from declouds.noise_schedules.linear import LinearSchedule
from declouds.noise_schedules.mean_reverting import MeanReverting
from declouds.noise_schedules.straight_path import StraightPath
from declouds.registry import NOISE_SCHEDULES
from declouds.samplers.ddim import DDIM
from declouds.samplers.ddpm import DDPM
from declouds.samplers.dpm_solver import DPMSolver
from declouds.samplers.euler import Euler
from declouds.samplers.heun import Heun
from declouds.samplers.stepwise import Past
from declouds.samplers.stochastic import Stochastic

MEAN, STD = 0.2, 0.5
GAIN, OFFSET, ERROR = 0.6, 0.3, 0.2
SIDE = 160  # pixels of an image: the mean of 25,600 values is known to 0.6 % of their deviation

PROCESSES = {
    "linear": LinearSchedule(),
    "cosine": CosineSchedule(),
    "straight path from noise": StraightPath("noise"),
    "straight path from cloudy": StraightPath("cloudy", noise=0.5),
    "Brownian bridge from noise": BrownianBridge("noise"),
    "Brownian bridge from cloudy": BrownianBridge("cloudy", noise=1.0),
    "IR-SDE from cloudy": IRSDE("cloudy", noise=0.7),
    "mean-reverting from cloudy": MeanReverting("cloudy"),
    "mean-reverting from noise": MeanReverting("noise"),
}


def noise(seed, side=SIDE):
    return torch.randn(1, 1, side, side, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Problem:
    """One cloudy image in which every pixel has a value of its own, and the exact denoiser of a process."""

    def __init__(self, process, side=SIDE):
        clear = MEAN + STD * noise(1, side)
        self.cloudy = GAIN * clear + OFFSET + ERROR * noise(2, side)
        precision = STD**-2 + GAIN**2 / ERROR**2
        self.mean = (MEAN / STD**2 + GAIN * (self.cloudy - OFFSET) / ERROR**2) / precision
        self.std = precision**-0.5
        self.process = process.bind(self.cloudy)

    def denoise(self, x_t, t):
        """Return the mean of the clear image given x_t and cloudy."""
        alpha, sigma = (level.double() for level in self.process.alpha_sigma(t))
        precision = self.std**-2 + alpha**2 / sigma**2
        mean = (self.mean / self.std**2 + alpha * (x_t - self.process.shift(t)) / sigma**2) / precision
        return torch.where(sigma > 0, mean, self.mean)

    def flow(self, x_t, t, later):
        """Return where the probability flow takes x_t: all is Gaussian, so it only scales the deviation."""

        def law(t):
            alpha, sigma = (level.double() for level in self.process.alpha_sigma(t))
            return alpha * self.mean + self.process.shift(t), (alpha**2 * self.std**2 + sigma**2).sqrt()

        (mean, std), (mean_later, std_later) = law(t), law(later)
        return mean_later + std_later / std * (x_t - mean)

    def result(self, sampler, start=3):
        """Return the deviation of the sampled image from the mean, in standard deviations."""
        sampled = sampler(self.denoise, self.process, noise(start, self.mean.shape[-1]))
        return (sampled - self.mean) / self.std


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("sampler", [DDIM, DDPM, Euler, Heun, DPMSolver, Stochastic])
def test_every_sampler_reaches_the_exact_mean_and_variance(name, sampler):
    process = PROCESSES[name]
    steps = 60 if sampler in (Heun, DPMSolver) else 400
    spacing = "karras" if process.continuous else "trailing"
    deviation = Problem(process).result(sampler(steps, spacing=spacing))
    assert abs(float(deviation.mean())) < 0.05
    assert float(deviation.std()) == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize(("sampler", "order"), [(Euler, 1), (DDIM, 1), (Heun, 2), (DPMSolver, 2)])
@pytest.mark.parametrize("process", [StraightPath("noise"), MeanReverting("noise", max_level=5)], ids=["path", "mean"])
def test_the_error_falls_with_the_order(sampler, order, process):
    problem = Problem(process, side=32)

    def error(steps):  # the same times of one flow, from the start to a noise level that all step counts reach
        times = torch.linspace(1, 0.1, steps + 1).mul(process.num_steps).tolist()
        solver = sampler(steps)
        if isinstance(solver, Heun):
            times = [times[0], *(time for time in times[1:] for _ in range(2))]
        solver.times = lambda process: times
        states = []

        def denoise(x_t, t):
            states.append((x_t, t))
            return problem.denoise(x_t, t)

        solver(denoise, problem.process, noise(3, 32))
        (start, first), (end, last) = states[0], states[-1]
        return float((end - problem.flow(start, first, last)).square().mean().sqrt())

    errors = [error(steps) for steps in (32, 64, 128)]
    for coarse, fine in pairwise(errors):
        assert coarse / fine == pytest.approx(2**order, rel=0.15)


@pytest.mark.parametrize("endpoint", ["cloudy", "prior"])
@pytest.mark.parametrize(
    "name", [name for name in NOISE_SCHEDULES.names() if name not in ("LinearSchedule", "CosineSchedule")]
)
def test_a_bridge_begins_at_its_endpoint_and_ends_in_the_clear_image(name, endpoint):
    process = NOISE_SCHEDULES.build(dict(type=name, endpoint=endpoint))
    clear, cloudy, prior = (noise(seed, 8).float() for seed in (1, 2, 3))
    bound, end = process.bind(cloudy, prior), dict(cloudy=cloudy, prior=prior)[endpoint]
    times = torch.tensor([0.0, process.num_steps])
    alpha, sigma = (level.flatten().tolist() for level in bound.alpha_sigma(times))
    assert (alpha[0], sigma[0]) == (1, 0)
    torch.testing.assert_close(bound.add_noise(clear, noise(4, 8).float(), times[:1]), clear)
    torch.testing.assert_close(bound.start(torch.zeros_like(end)), end)
    if name in ("BrownianBridge", "StraightPath"):
        assert alpha[1] == 0
    if name == "BrownianBridge":
        assert sigma[1] == 0
        torch.testing.assert_close(bound.start(noise(4, 8).float()), end)


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("sampler", [DDPM(8), Stochastic(8, churn=4)], ids=["DDPM", "Stochastic"])
def test_stochastic_samplers_keep_the_marginals(name, sampler):
    problem = Problem(PROCESSES[name])
    process, clear = problem.process, MEAN + STD * noise(1)
    times = torch.linspace(0.9, 0.1, 9).mul(process.num_steps)
    times = times if process.continuous else times.long()
    x_t = process.add_noise(clear, noise(5), times[:1])
    for number, (now, after) in enumerate(pairwise(times)):
        x_t = sampler.step(clear, x_t, now[None], after[None], process, noise(10 + number))
        alpha, sigma = (level.double() for level in process.alpha_sigma(after[None]))
        implied = (x_t - process.shift(after[None]) - alpha * clear) / sigma
        assert abs(float(implied.mean())) < 0.03
        assert float(implied.std()) == pytest.approx(1, abs=0.03)


def schedule_of(kind, **settings):
    schedule = LinearSchedule()
    betas = 1 - torch.cat([schedule.alpha[:1] ** 2, (schedule.alpha[1:] / schedule.alpha[:-1]) ** 2])
    return schedule, kind(trained_betas=betas.numpy(), prediction_type="sample", **settings)


def rough(x_t, t):
    return (0.7 * x_t + 0.1 * torch.sin(torch.as_tensor(t) / 100)).clamp(-1, 1)


def test_dpm_solver_steps_as_that_of_diffusers():
    schedule, theirs = schedule_of(
        DPMSolverMultistepScheduler, algorithm_type="dpmsolver++", solver_order=2, final_sigmas_type="zero"
    )
    theirs.set_timesteps(10)
    times, solver = theirs.timesteps.tolist(), DPMSolver(10)
    ours = expected = noise(3, 8).float()
    past = []
    for now, after in pairwise(times):
        t, next_t = torch.tensor([now]), torch.tensor([after])
        clear = rough(ours, now)
        ours = solver.step(clear, ours, t, next_t, schedule, history=past)
        past = [Past(clear, t)]
        expected = theirs.step(rough(expected, now), now, expected).prev_sample
        torch.testing.assert_close(ours, expected, rtol=0, atol=2e-4)


def test_heun_steps_as_that_of_diffusers():
    schedule, theirs = schedule_of(HeunDiscreteScheduler, timestep_spacing="leading")
    theirs.set_timesteps(10)
    times, solver = theirs.timesteps.tolist(), Heun(10)
    ours = noise(3, 8).float()
    alpha, _ = schedule.alpha_sigma(torch.tensor([round(times[0])]))
    expected = ours / alpha  # theirs is the image over alpha
    past = []
    for now, after in pairwise(times):
        t, next_t = torch.tensor([round(now)]), torch.tensor([round(after)])
        alpha, _ = schedule.alpha_sigma(t)
        clear = rough(ours, now)
        ours = solver.step(clear, ours, t, next_t, schedule, history=past)
        past = [Past(clear, t)]
        expected = theirs.step(rough(expected * alpha, now), now, expected).prev_sample
        torch.testing.assert_close(ours / schedule.alpha_sigma(next_t)[0], expected, rtol=0, atol=1e-2)
