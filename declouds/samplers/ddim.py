"""Denoising diffusion implicit models."""

from collections.abc import Sequence

import torch

from declouds.noise_schedules.process import Process
from declouds.registry import SAMPLERS
from declouds.samplers.stepwise import Past, StepwiseSampler


@SAMPLERS.register_module()
class DDIM(StepwiseSampler):
    """Deterministic sampling in few steps (Song et al. 2021, arXiv 2010.02502, equation 12 with eta = 0).

    The noise is re-derived from the estimate that ``denoise`` returns, so fusion affects the whole trajectory; the last
    step returns the estimate itself.

    Args:
        steps: number of steps.
        spacing: how the timesteps lie, see `inference_timesteps`.

    Raises:
        UserError: when called, see `inference_timesteps`.
    """

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
        """Return x at timestep ``after``: the estimate plus its implied noise."""
        return process.carry(clear, x_t, t, after)
