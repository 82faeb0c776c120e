"""Ancestral sampling of denoising diffusion probabilistic models."""

import zlib
from collections.abc import Callable
from typing import Any

import torch

from declouds.registry import SAMPLERS
from declouds.samplers.timesteps import leading_timesteps


@SAMPLERS.register_module()
class DDPM:
    """Ancestral sampling with the posterior of the forward process (Ho et al. 2020, equations 6 and 7).

    With fewer steps than the schedule has, the posterior is that of the process between the visited times (Nichol &
    Dhariwal 2021, section 4). The start noise is the caller's; step noise is drawn from it and ``seed``, so a run
    repeats. Overlapping windows of a scene draw different step noise.

    Args:
        steps: number of steps; all of the noise schedule's if not given.
        seed: seed of the step noise.

    Raises:
        UserError: more steps than the noise schedule has (when called).
    """

    def __init__(self, steps: int | None = None, seed: int = 0) -> None:
        self.steps = steps
        self.seed = seed

    def __call__(
        self,
        denoise: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        x_start: torch.Tensor,
        noise_schedule: Any,
    ) -> torch.Tensor:
        """Return the clear image. Shapes: x_start (B, C, H, W), standard normal -> (B, C, H, W) in [-1, 1]."""
        times = leading_timesteps(self.steps or noise_schedule.num_steps, noise_schedule.num_steps)
        # One generator an image, seeded by its start noise: a result does not depend on what else is in the batch.
        digests = [zlib.crc32(image.cpu().numpy().tobytes(), self.seed) for image in x_start]
        generators = [torch.Generator().manual_seed(digest) for digest in digests]
        x_t = x_start
        for now, after in zip(times, [*times[1:], None], strict=True):
            t = torch.full((len(x_t),), now, device=x_t.device)
            clear = denoise(x_t, t)
            if after is None:
                return clear
            mean, deviation = self._posterior(clear, x_t, t, torch.full_like(t, after), noise_schedule)
            drawn = [torch.randn(x_t.shape[1:], generator=generator) for generator in generators]
            step_noise = torch.stack(drawn).to(x_t)  # drawn on the CPU: one result everywhere
            x_t = mean + deviation * step_noise
        raise AssertionError("unreachable: there is at least one step")

    @staticmethod
    def _posterior(
        clear: torch.Tensor, x_t: torch.Tensor, t: torch.Tensor, after: torch.Tensor, noise_schedule: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and standard deviation of x_after given x_t and the clear image (equation 7)."""
        alpha_t, sigma_t = noise_schedule.alpha_sigma(t)
        alpha_s, sigma_s = noise_schedule.alpha_sigma(after)
        alpha_step = alpha_t / alpha_s
        beta_step = 1 - alpha_step**2  # the noise added between `after` and `t`, as a variance
        mean = (alpha_s * beta_step * clear + alpha_step * sigma_s**2 * x_t) / sigma_t**2
        return mean, beta_step.sqrt() * sigma_s / sigma_t
