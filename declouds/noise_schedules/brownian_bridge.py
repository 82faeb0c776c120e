"""The Brownian bridge."""

import torch

from declouds.errors import UserError
from declouds.noise_schedules.bridge import Bridge
from declouds.registry import NOISE_SCHEDULES


@NOISE_SCHEDULES.register_module()
class BrownianBridge(Bridge):
    """x_t = (1 - s) clear + s end + ``noise`` sqrt(s (1 - s)) noise, with s = t / T: both ends are exact.

    BBDM (Li et al. 2023, arXiv 2205.07680, equations 4 and 5) with variance ``noise``^2 s (1 - s), theirs is 2 s (1 -
    s); I2SB (Liu et al. 2023, arXiv 2302.05872, equation 11) with a constant beta.

    Args:
        endpoint: see `Bridge`.
        noise: its scale; the standard deviation is half of it where it is largest, in the middle.
        num_steps: see `Bridge`.
        data_std: see `Process`.

    Raises:
        UserError: ``noise`` is not positive; see also `Bridge`.
    """

    def __init__(
        self, endpoint: str = "cloudy", noise: float = 0.4, num_steps: int = 1000, data_std: float = 0.5
    ) -> None:
        if not noise > 0:
            raise UserError(f"BrownianBridge: noise must be positive, got {noise}: without it, use StraightPath")
        self.noise = noise
        super().__init__(endpoint, num_steps, data_std)

    def law(self, time: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return 1 - s and ``noise``^2 s (1 - s)."""
        return 1 - time, self.noise**2 * time * (1 - time)
