"""The interface of diffusion processes, and the only place that knows each parametrisation."""

from typing import Any

import torch
from torch import nn

from declouds.errors import UserError

PREDICTIONS = ("noise", "clear", "velocity")  # parametrisations of a denoiser


class Process(nn.Module):
    """A Gaussian process from the clear image to noise: x_t = alpha_t clear + shift_t + sigma_t noise.

    A subclass implements `alpha_sigma`, with alpha > 0 and sigma > 0 at every timestep. The shift is 0, unless the
    process ends in the cloudy image or in the prior: such a subclass names it in ``condition``, stores it in `bind` and
    implements `shift`. Samplers and losses only see a bound process, so they are independent of conditions.

    Args:
        num_steps: number of timesteps T.

    Shapes: images (B, C, H, W), t (B,) integers from 0 to T - 1.
    """

    condition: tuple[str, ...] = ()  # what the process is bound to: "cloudy", "prior" or both

    def __init__(self, num_steps: int) -> None:
        super().__init__()
        self.num_steps = num_steps

    def alpha_sigma(self, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the weights of the clear image and of the noise in x_t. Shapes: t (B,) -> two of (B, 1, 1, 1)."""
        raise NotImplementedError

    def bind(self, cloudy: torch.Tensor, prior: torch.Tensor | None = None) -> "Process":
        """Return the process conditioned on these images. Shapes: cloudy (B, in_bands, H, W), prior (B, C, H, W)."""
        return self

    def shift(self, t: torch.Tensor) -> torch.Tensor | float:
        """Return the term that the condition adds to x_t."""
        return 0.0

    def start(self, noise: torch.Tensor) -> torch.Tensor:
        """Return the x that sampling starts from, given standard normal noise."""
        return noise

    def add_noise(self, clear: torch.Tensor, noise: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Return x_t."""
        alpha, sigma = self.alpha_sigma(t)
        return alpha * clear + self.shift(t) + sigma * noise

    def noise_from(self, clear: torch.Tensor, x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Return the noise that takes ``clear`` to ``x_t``."""
        alpha, sigma = self.alpha_sigma(t)
        return (x_t - self.shift(t) - alpha * clear) / sigma

    def clear_from(self, prediction: torch.Tensor, x_t: torch.Tensor, t: torch.Tensor, predicts: str) -> torch.Tensor:
        """Return the clear image implied by a denoiser's ``prediction``.

        The velocity is alpha noise - sigma clear (Salimans and Ho 2022, arXiv 2202.00512, section 4).

        Raises:
            UserError: unknown ``predicts``.
        """
        alpha, sigma = self.alpha_sigma(t)
        x_t = x_t - self.shift(t)
        if predicts == "clear":
            return prediction
        if predicts == "noise":
            return (x_t - sigma * prediction) / alpha
        if predicts == "velocity":
            return (alpha * x_t - sigma * prediction) / (alpha**2 + sigma**2)
        raise _unknown(predicts)

    def target(self, clear: torch.Tensor, noise: torch.Tensor, t: torch.Tensor, predicts: str) -> torch.Tensor:
        """Return the training target of a denoiser.

        Raises:
            UserError: unknown ``predicts``.
        """
        if predicts == "clear":
            return clear
        if predicts == "noise":
            return noise
        if predicts == "velocity":
            alpha, sigma = self.alpha_sigma(t)
            return alpha * noise - sigma * clear
        raise _unknown(predicts)

    def draw_times(self, count: int, device: Any = None) -> torch.Tensor:
        """Draw uniform training timesteps. Shapes: (count,)."""
        return torch.randint(self.num_steps, (count,), device=device)


def _unknown(predicts: str) -> UserError:
    return UserError(f"unknown parametrisation {predicts!r}: predicts must be one of {', '.join(PREDICTIONS)}")
