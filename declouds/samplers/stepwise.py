"""Samplers that work pixel by pixel between two calls of the denoiser."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch

from declouds.samplers.timesteps import leading_timesteps


class StepwiseSampler:
    """The loop over the times: ``denoise``, then `step`, which mixes neither pixels nor bands.

    Since `step` needs no neighbours, a scene of any size can be sampled as one: its windows are denoised one by one,
    and their blend is stepped in bands of rows.

    Args:
        steps: number of steps; all of the noise schedule's if None.

    Raises:
        UserError: more steps than the noise schedule has (when called).
    """

    draws_noise = False  # whether `step` is to be given fresh noise

    def __init__(self, steps: int | None) -> None:
        self.steps = steps

    def times(self, noise_schedule: Any) -> list[int]:
        """Return the times from high to low, 0 the last."""
        steps = noise_schedule.num_steps if self.steps is None else self.steps
        return leading_timesteps(steps, noise_schedule.num_steps)

    def step(
        self,
        clear: torch.Tensor,
        x_t: torch.Tensor,
        t: torch.Tensor,
        after: torch.Tensor,
        noise_schedule: Any,
        noise: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return x at time ``after``, given the estimate ``clear`` at time ``t``.

        Shapes: clear, x_t and noise (B, C, H, W), t and after (B,) -> (B, C, H, W).
        """
        raise NotImplementedError

    def fresh_noise(self, x_start: torch.Tensor) -> Iterator[torch.Tensor | None]:
        """Yield what `step` is given as ``noise``, step after step."""
        return itertools.repeat(None)

    def __call__(
        self,
        denoise: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        x_start: torch.Tensor,
        noise_schedule: Any,
    ) -> torch.Tensor:
        """Return the clear image. Shapes: x_start (B, C, H, W), standard normal -> (B, C, H, W) in [-1, 1]."""
        times = self.times(noise_schedule)
        x_t, noises = x_start, self.fresh_noise(x_start)
        for now, after in itertools.pairwise(times):
            t = torch.full((len(x_t),), now, device=x_t.device)
            clear = denoise(x_t, t)
            x_t = self.step(clear, x_t, t, torch.full_like(t, after), noise_schedule, next(noises))
        return denoise(x_t, torch.full((len(x_t),), times[-1], device=x_t.device))
