"""The mean-reverting process of IR-SDE."""

import math

import torch

from declouds.errors import UserError
from declouds.noise_schedules.bridge import Bridge
from declouds.registry import NOISE_SCHEDULES


@NOISE_SCHEDULES.register_module()
class IRSDE(Bridge):
    """dx = theta (end - x) dt + g dw with g^2 = 2 ``noise``^2 theta (Luo et al. 2023, IR-SDE, arXiv 2301.11699).

    x_t = m clear + (1 - m) end + ``noise`` sqrt(1 - m^2) noise with m = exp(-integral of theta) (equations 5 and 6),
    here with theta linear in time and scaled so that m is ``remainder`` at the end. The noise of the linear schedule
    grows alike: with the end at 0 and ``noise`` = 1 this would be that.

    Args:
        endpoint: see `Bridge`.
        noise: stationary standard deviation, the paper's lambda: 50 of 255 there, on images in [0, 1].
        remainder: share of the clear image that is left at the end, the paper's delta.
        num_steps: see `Bridge`.
        data_std: see `Process`.

    Raises:
        UserError: ``noise`` is not positive, or ``remainder`` not in (0, 1); see also `Bridge`.
    """

    def __init__(
        self,
        endpoint: str = "cloudy",
        noise: float = 0.4,
        remainder: float = 0.005,
        num_steps: int = 1000,
        data_std: float = 0.5,
    ) -> None:
        if not noise > 0 or not 0 < remainder < 1:
            raise UserError(f"IRSDE: noise must be positive and remainder between 0 and 1, got {noise} and {remainder}")
        self.noise, self.remainder = noise, remainder
        super().__init__(endpoint, num_steps, data_std)

    def law(self, time: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return m and ``noise``^2 (1 - m^2)."""
        exponent = math.log(self.remainder) * time**2
        return exponent.exp(), self.noise**2 * -torch.expm1(2 * exponent)
