"""The straight path of flow matching."""

import torch

from declouds.errors import UserError
from declouds.noise_schedules.bridge import Bridge
from declouds.registry import NOISE_SCHEDULES


@NOISE_SCHEDULES.register_module()
class StraightPath(Bridge):
    """x_t = (1 - s) clear + s end + ``noise`` s noise, with s = t / T, at constant speed.

    From noise it is rectified flow (Liu et al. 2023, arXiv 2209.03003; Lipman et al. 2023, arXiv 2210.02747, equation
    22 with sigma_min = 0). From an image the noise grows with the distance from the clear image, so that where there is
    cloud there is something to sample; with 0 it is the deterministic path of cold diffusion (arXiv 2208.09392).

    Args:
        endpoint: see `Bridge`.
        noise: standard deviation at the end, if that is an image.
        num_steps: see `Bridge`.
        data_std: see `Process`.

    Raises:
        UserError: ``noise`` is negative; see also `Bridge`.
    """

    def __init__(
        self, endpoint: str = "cloudy", noise: float = 0.1, num_steps: int = 1000, data_std: float = 0.5
    ) -> None:
        if noise < 0:
            raise UserError(f"StraightPath: noise must be at least 0, got {noise}")
        self.noise = 0.0 if endpoint == "noise" else noise
        super().__init__(endpoint, num_steps, data_std)

    def law(self, time: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return 1 - s and (``noise`` s)^2."""
        return 1 - time, (self.noise * time) ** 2
