"""Inference timesteps."""

import torch

from declouds.errors import UserError
from declouds.noise_schedules.process import Process

SPACINGS = ("leading", "trailing", "karras")
RHO = 7.0  # of Karras's spacing
LOWEST, HIGHEST = 0.002, 80.0  # sigma / alpha at its ends, Karras et al.'s sigma_min and sigma_max


def inference_timesteps(steps: int, process: Process, spacing: str | None = None) -> list[float]:
    """Return the times at which a sampler calls its denoiser, in descending order.

    ``leading`` ends at 0: 10 of 1000 are 900, 800, ... 0 (Ho et al.'s process, DDIM). ``trailing`` begins at the end:
    999, 899, ... 99, or 1000, 900, ... 100 in continuous time (Lin et al. 2024, arXiv 2305.08891, table 2). ``karras``
    begins at the end too, and lies denser near the clear image: sigma / alpha, within 0.002 and 80, to the power of 1/7
    falls in equal steps (Karras et al. 2022, arXiv 2206.00364, equation 5).

    Args:
        steps: number of times.
        process: the process.
        spacing: one of these; ``leading`` of a discrete process, ``trailing`` of a continuous one if None.

    Raises:
        UserError: unknown ``spacing``, or ``steps`` is not between 1 and the number of timesteps.
    """
    spacing = spacing or ("trailing" if process.continuous else "leading")
    if spacing not in SPACINGS:
        raise UserError(f"unknown spacing of timesteps {spacing!r}: use {', '.join(SPACINGS)}")
    if not 1 <= steps <= process.num_steps:
        raise UserError(f"sampler steps must be between 1 and {process.num_steps}, got {steps}")
    if spacing == "karras":
        return _karras(steps, process)
    last = process.num_steps
    if spacing == "leading" and not process.continuous:
        return [last // steps * index for index in reversed(range(steps))]
    if spacing == "leading":
        raise UserError("leading timesteps end at 0, where a continuous process has no noise: use trailing or karras")
    times = [last * (index + 1) / steps for index in reversed(range(steps))]
    return times if process.continuous else [round(time) - 1 for time in times]


def _karras(steps: int, process: Process) -> list[float]:
    device = next((buffer.device for buffer in process.buffers()), torch.device("cpu"))
    ends = process.times_of_grid(device)[[-1, 0]]
    alpha, sigma = (values.flatten() for values in process.alpha_sigma(ends))
    highest, lowest = torch.where(alpha > 0, sigma / alpha, HIGHEST).clamp(LOWEST, HIGHEST) ** (1 / RHO)
    levels = torch.lerp(highest, lowest, torch.linspace(0, 1, steps, device=device)) ** RHO
    times = [ends[0].item(), *process.time_of(levels).tolist()[1:]]
    if len(set(times)) < steps:
        raise UserError(f"{steps} steps with karras spacing share timesteps of {process.num_steps}: use fewer")
    return times
