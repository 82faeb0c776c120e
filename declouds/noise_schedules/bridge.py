"""Processes between the clear image and another end: noise, the cloudy image, or the prior."""

import copy

import torch

from declouds.errors import UserError
from declouds.noise_schedules.process import PREDICTIONS, Process

ENDPOINTS = ("noise", "cloudy", "prior")


class Bridge(Process):
    """x_t = alpha_t clear + (1 - alpha_t) end + sigma_t noise in continuous time, alpha = 1 and sigma = 0 at t = 0.

    A subclass implements `law`. Where the end is noise, it is another draw: both make one noise of the variance
    (1 - alpha)^2 + sigma^2.

    Args:
        endpoint: where the process ends: ``noise``, the ``cloudy`` image, or the ``prior`` of the reference.
        num_steps: time at the end; the unit is that of discrete timesteps, which networks embed.
        data_std: see `Process`.

    Raises:
        UserError: unknown ``endpoint``.
    """

    continuous = True

    def __init__(self, endpoint: str = "cloudy", num_steps: int = 1000, data_std: float = 0.5) -> None:
        super().__init__(num_steps, data_std)
        if endpoint not in ENDPOINTS:
            raise UserError(f"unknown endpoint {endpoint!r}: use {', '.join(ENDPOINTS)}")
        self.endpoint = endpoint
        self.condition = () if endpoint == "noise" else (endpoint,)
        if self.condition:
            alpha, _ = self.law(torch.ones(1))
            held = PREDICTIONS if float(alpha) > 0 else ("clear", "residual", "edm")
            self.predictions = tuple(name for name in held if name != "flow")
        self.end: torch.Tensor | None = None
        self.first_noise: torch.Tensor | float = 0.0

    def law(self, time: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return alpha and the variance of the noise at ``time`` in [0, 1]. Shapes: (B,) -> two of (B,)."""
        raise NotImplementedError

    def alpha_sigma(self, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the weights of the clear image and of the noise in x_t. Shapes: t (B,) -> two of (B, 1, 1, 1)."""
        alpha, variance = self.law(t.float() / self.num_steps)
        if self.endpoint == "noise":
            variance = (1 - alpha) ** 2 + variance
        return alpha[:, None, None, None], variance.sqrt()[:, None, None, None]

    def bind(self, cloudy: torch.Tensor, prior: torch.Tensor | None = None) -> "Bridge":
        """Return the process that ends in one of these images.

        Raises:
            UserError: it ends in the prior, and there is none.
        """
        bound = copy.copy(self)
        if self.endpoint == "prior" and prior is None:
            raise UserError("the process ends in the prior: give the model a reference")
        bound.end = dict(cloudy=cloudy, prior=prior).get(self.endpoint)
        return bound

    @property
    def centre(self) -> torch.Tensor | float:
        """The end of the bridge; 0 if that is noise."""
        if not self.condition:
            return 0.0
        assert self.end is not None, "bind comes first"
        return self.end

    def shift(self, t: torch.Tensor) -> torch.Tensor | float:
        """Return the part of the end in x_t."""
        return (1 - self.alpha_sigma(t)[0]) * self.centre if self.condition else 0.0

    def start(self, noise: torch.Tensor) -> torch.Tensor:
        """Return the end with its noise: what is known where sampling starts."""
        if self.condition:
            self.first_noise = noise
        _, sigma = self.alpha_sigma(torch.full((1,), float(self.num_steps), device=noise.device))
        return self.centre + sigma * noise

    def noise_from(self, clear: torch.Tensor, x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Return the noise that takes ``clear`` to ``x_t``; at an end without noise, that of the first step.

        There a deterministic sampler has to leave the end with some noise (Zheng et al. 2025, DBIM, arXiv 2405.15885,
        section 4.3): it is that which `start` was given.
        """
        alpha, sigma = self.alpha_sigma(t)
        noise = (x_t - self.shift(t) - alpha * clear) / torch.where(sigma > 0, sigma, 1.0)
        return torch.where(sigma > 0, noise, self.first_noise)
