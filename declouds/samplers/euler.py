"""Euler's method."""

from collections.abc import Sequence

import torch

from declouds.noise_schedules.process import Process
from declouds.registry import SAMPLERS
from declouds.samplers.stepwise import Past, StepwiseSampler


@SAMPLERS.register_module()
class Euler(StepwiseSampler):
    """Steps along the tangent of the probability flow in time: x_after = x_t + (after - t) dx/dt, of first order.

    The usual sampler of flow matching (Lipman et al. 2023, arXiv 2210.02747), on any process. DDIM is Euler's method
    too, with sigma / alpha for the time (Song et al. 2021, arXiv 2010.02502, equation 14); for a straight path from
    noise they are the same. Where the tangent is vertical, at the end of a Brownian bridge, the step is that of DDIM.

    Args:
        steps: number of steps.
        spacing: how the timesteps lie, see `inference_timesteps`.

    Raises:
        UserError: when called, see `inference_timesteps`.
    """

    keeps_noise_level = False

    def __init__(self, steps: int = 10, spacing: str | None = None) -> None:
        super().__init__(steps, spacing)

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
        """Return x at timestep ``after``."""
        tangent = x_t + (after - t).float()[:, None, None, None] * process.derivative(clear, x_t, t)
        _, sigma = process.alpha_sigma(t)
        return torch.where(sigma > 0, tangent, process.carry(clear, x_t, t, after))
