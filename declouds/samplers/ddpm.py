"""Ancestral sampling of denoising diffusion probabilistic models."""

import zlib
from collections.abc import Iterator, Sequence

import torch

from declouds.noise_schedules.process import Process
from declouds.registry import SAMPLERS
from declouds.samplers.stepwise import StepwiseSampler


@SAMPLERS.register_module()
class DDPM(StepwiseSampler):
    """Ancestral sampling with the posterior of the forward process (Ho et al. 2020, equations 6 and 7).

    With fewer steps than the schedule has, the posterior is that of the process between the visited timesteps (Nichol &
    Dhariwal 2021, section 4). Step noise is seeded by the caller's start noise and ``seed``, so runs are reproducible.

    Args:
        steps: number of steps; those of the process if not given.
        seed: seed of the step noise.

    Raises:
        UserError: when called, if the process has fewer steps.
    """

    draws_noise = True

    def __init__(self, steps: int | None = None, seed: int = 0) -> None:
        super().__init__(steps)
        self.seed = seed

    def fresh_noise(self, start_noise: torch.Tensor) -> Iterator[torch.Tensor]:
        """Yield noise from one generator per image, seeded by its start noise: results do not depend on the batch."""
        digests = [zlib.crc32(image.cpu().numpy().tobytes(), self.seed) for image in start_noise]
        generators = [torch.Generator().manual_seed(digest) for digest in digests]
        while True:
            drawn = [torch.randn(start_noise.shape[1:], generator=generator) for generator in generators]
            yield torch.stack(drawn).to(start_noise)  # drawn on the CPU: same on every device

    def step(
        self,
        clear: torch.Tensor,
        x_t: torch.Tensor,
        t: torch.Tensor,
        after: torch.Tensor,
        process: Process,
        noise: torch.Tensor | None = None,
        history: Sequence[torch.Tensor] = (),
    ) -> torch.Tensor:
        """Draw x at timestep ``after`` from the posterior given x_t and the clear image."""
        assert noise is not None  # because of `draws_noise`
        mean, deviation = self._posterior(clear, x_t, t, after, process)
        return mean + deviation * noise

    @staticmethod
    def _posterior(
        clear: torch.Tensor, x_t: torch.Tensor, t: torch.Tensor, after: torch.Tensor, process: Process
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and standard deviation of x_after given x_t and the clear image (equation 7)."""
        alpha_t, sigma_t = process.alpha_sigma(t)
        alpha_s, sigma_s = process.alpha_sigma(after)
        alpha_step = alpha_t / alpha_s
        beta_step = 1 - alpha_step**2  # the noise added between `after` and `t`, as a variance
        mean = (alpha_s * beta_step * clear + alpha_step * sigma_s**2 * x_t) / sigma_t**2
        return mean, beta_step.sqrt() * sigma_s / sigma_t
