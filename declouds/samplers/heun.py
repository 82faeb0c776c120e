"""Heun's method."""

from collections.abc import Sequence

import torch

from declouds.noise_schedules.process import Process
from declouds.registry import SAMPLERS
from declouds.samplers.stepwise import Past, StepwiseSampler


@SAMPLERS.register_module()
class Heun(StepwiseSampler):
    """The second-order sampler of EDM (Karras et al. 2022, arXiv 2206.00364, algorithm 1 with S_churn = 0).

    In the level sigma / alpha for the time, the slope of (x - shift) / alpha is the noise. Each step is taken by the
    noise at its start, and again by the mean of that and the noise at its end: two calls of the denoiser, but for the
    last step one. The first step of a process that ends without a trace of the clear image is not corrected.

    Args:
        steps: number of steps.
        spacing: how the timesteps lie, see `inference_timesteps`.

    Raises:
        UserError: when called, see `inference_timesteps`.
    """

    history = 1

    def __init__(self, steps: int = 5, spacing: str | None = None) -> None:
        super().__init__(steps, spacing)

    def times(self, process: Process) -> list[float]:
        """Return the times at which the denoiser is called: all but the first twice."""
        first, *others = super().times(process)
        return [first, *(time for time in others for _ in range(2))]

    def step(
        self,
        clear: torch.Tensor,
        x_t: torch.Tensor,
        t: torch.Tensor,
        after: torch.Tensor,
        process: Process,
        noise: torch.Tensor | None = None,
        history: Sequence[Past] = (),
    ) -> torch.Tensor:
        """Return x at timestep ``after``; where that is ``t``, the corrected x_t."""
        if not torch.equal(after, t):
            return process.carry(clear, x_t, t, after)
        before = history[0]
        slopes = [process.noise_from(estimate, x_t, t) for estimate in (before.clear, clear)]
        alpha_0, sigma_0 = process.alpha_sigma(before.t)
        mean = (slopes[0] + slopes[1]) / 2
        # (x - shift) / alpha was before.clear + level slopes[0]; from there the mean slope leads to the level of t.
        begin = before.clear + sigma_0 / alpha_0 * (slopes[0] - mean)
        corrected = process.add_noise(begin, mean, t)
        return torch.where((alpha_0 > 0) & (sigma_0 > 0), corrected, x_t)
