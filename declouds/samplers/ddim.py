"""Denoising diffusion implicit models."""

from collections.abc import Callable
from typing import Any

import torch

from declouds.registry import SAMPLERS
from declouds.samplers.timesteps import leading_timesteps


@SAMPLERS.register_module()
class DDIM:
    """Deterministic sampling in few steps (Song et al. 2021, arXiv 2010.02502, equation 12 with eta = 0).

    The noise is derived again from what ``denoise`` returns, so a fused estimate steers the whole path; the last step
    returns the estimate itself.

    Args:
        steps: number of steps.

    Raises:
        UserError: more steps than the noise schedule has (when called).
    """

    def __init__(self, steps: int = 10) -> None:
        self.steps = steps

    def __call__(
        self,
        denoise: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        x_start: torch.Tensor,
        noise_schedule: Any,
    ) -> torch.Tensor:
        """Return the clear image. Shapes: x_start (B, C, H, W), standard normal -> (B, C, H, W) in [-1, 1]."""
        times = leading_timesteps(self.steps, noise_schedule.num_steps)
        x_t = x_start
        for now, after in zip(times, [*times[1:], None], strict=True):
            t = torch.full((len(x_t),), now, device=x_t.device)
            clear = denoise(x_t, t)
            if after is None:
                return clear
            noise = noise_schedule.noise_from(clear, x_t, t)
            x_t = noise_schedule.add_noise(clear, noise, torch.full_like(t, after))
        raise AssertionError("unreachable: there is at least one step")
