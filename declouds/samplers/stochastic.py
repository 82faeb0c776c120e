"""A deterministic step with churn."""

from collections.abc import Sequence

import torch

from declouds.errors import UserError
from declouds.noise_schedules.process import Process
from declouds.registry import SAMPLERS
from declouds.samplers.stepwise import Past, StochasticSampler


@SAMPLERS.register_module()
class Stochastic(StochasticSampler):
    """DDIM with churn: part of the noise is replaced at every step (Karras et al. 2022, arXiv 2206.00364, algorithm 2).

    There a step first adds noise, from the level sigma to (1 + gamma) sigma, and then denoises. Here the times are
    those at which the denoiser is called, so a step denoises to the level of ``after`` over 1 + gamma and adds noise up
    to it.

    Args:
        steps: number of steps.
        churn: S_churn, the noise replaced in all: gamma is ``churn`` / ``steps``, at most sqrt(2) - 1; 0 is DDIM.
        noise: standard deviation of the noise that is added, S_noise.
        seed: seed of the step noise.
        spacing: how the timesteps lie, see `inference_timesteps`.

    Raises:
        UserError: ``churn`` or ``noise`` is negative; when called, see `inference_timesteps`.
    """

    def __init__(
        self, steps: int = 10, churn: float = 2.0, noise: float = 1.0, seed: int = 0, spacing: str | None = None
    ) -> None:
        if churn < 0 or noise < 0:
            raise UserError(f"Stochastic: churn and noise must be at least 0, got {churn} and {noise}")
        super().__init__(steps, spacing, seed)
        self.churn, self.noise = churn, noise

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
        """Return x at timestep ``after``, part of whose noise is fresh."""
        assert noise is not None  # because of `draws_noise`
        kept = 1 / (1 + min(self.churn / (self.steps or process.num_steps), 2**0.5 - 1))
        mixed = kept * process.noise_from(clear, x_t, t) + (1 - kept**2) ** 0.5 * self.noise * noise
        return process.add_noise(clear, mixed, after)
