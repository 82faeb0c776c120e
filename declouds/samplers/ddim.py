"""Denoising diffusion implicit models."""

from typing import Any

import torch

from declouds.registry import SAMPLERS
from declouds.samplers.stepwise import StepwiseSampler


@SAMPLERS.register_module()
class DDIM(StepwiseSampler):
    """Deterministic sampling in few steps (Song et al. 2021, arXiv 2010.02502, equation 12 with eta = 0).

    The noise is derived again from what ``denoise`` returns, so a fused estimate steers the whole path; the last step
    returns the estimate itself.

    Args:
        steps: number of steps.

    Raises:
        UserError: more steps than the noise schedule has (when called).
    """

    def __init__(self, steps: int = 10) -> None:
        super().__init__(steps)

    def step(
        self,
        clear: torch.Tensor,
        x_t: torch.Tensor,
        t: torch.Tensor,
        after: torch.Tensor,
        noise_schedule: Any,
        noise: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return x at time ``after``: the estimate, with the noise that it implies."""
        return noise_schedule.add_noise(clear, noise_schedule.noise_from(clear, x_t, t), after)
