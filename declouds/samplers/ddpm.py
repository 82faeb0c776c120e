"""Ancestral sampling of denoising diffusion probabilistic models and of bridges."""

from collections.abc import Sequence

import torch

from declouds.noise_schedules.process import Process
from declouds.registry import SAMPLERS
from declouds.samplers.stepwise import Past, StochasticSampler


@SAMPLERS.register_module()
class DDPM(StochasticSampler):
    """Ancestral sampling with the posterior of the forward process (Ho et al. 2020, equations 6 and 7).

    With fewer steps than the schedule has, the posterior is that of the process between the visited timesteps (Nichol &
    Dhariwal 2021, section 4). On a Brownian bridge it is the sampler of BBDM (arXiv 2205.07680, algorithm 2) and I2SB
    (arXiv 2302.05872, algorithm 2). Step noise is seeded by the caller's start noise and ``seed``.

    Args:
        steps: number of steps; those of the process if not given.
        seed: seed of the step noise.
        spacing: how the timesteps lie, see `inference_timesteps`.

    Raises:
        UserError: when called, see `inference_timesteps`.
    """

    def __init__(self, steps: int | None = None, seed: int = 0, spacing: str | None = None) -> None:
        super().__init__(steps, spacing, seed)

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
        """Draw x at timestep ``after`` from the posterior given x_t and the clear image."""
        assert noise is not None  # because of `draws_noise`
        mean, deviation = process.posterior(clear, x_t, t, after)
        return mean + deviation * noise
