"""The mean-reverting process with a mean and a noise that are chosen apart."""

import torch

from declouds.errors import UserError
from declouds.noise_schedules.bridge import Bridge
from declouds.registry import NOISE_SCHEDULES


@NOISE_SCHEDULES.register_module()
class MeanReverting(Bridge):
    """x_t = m clear + (1 - m) end + m sigma noise: mean and noise are set apart, as in EMRDM (arXiv 2503.23717).

    EMRDM takes a mean-reverting process apart as EDM does a diffusion, so that m and the noise level sigma = std / m
    are free. Here sigma = ``max_level`` s, as in EDM, and m = 1 / (1 + ``pull`` sigma): near the clear image the mean
    moves with the noise. The paper's own constants are not reproduced.

    Args:
        endpoint: see `Bridge`.
        max_level: noise level, the standard deviation of the noise over the weight of the clear image, at the end.
        pull: how fast the mean goes to the end; the end keeps 1 / (1 + ``pull`` ``max_level``) of the clear image.
        num_steps: see `Bridge`.
        data_std: see `Process`.

    Raises:
        UserError: a number is not positive; see also `Bridge`.
    """

    def __init__(
        self,
        endpoint: str = "cloudy",
        max_level: float = 20.0,
        pull: float = 2.0,
        num_steps: int = 1000,
        data_std: float = 0.5,
    ) -> None:
        if not max_level > 0 or not pull > 0:
            raise UserError(f"MeanReverting: max_level and pull must be positive, got {max_level} and {pull}")
        self.max_level, self.pull = max_level, pull
        super().__init__(endpoint, num_steps, data_std)

    def law(self, time: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return m and (m sigma)^2."""
        level = self.max_level * time
        mean = 1 / (1 + self.pull * level)
        return mean, (mean * level) ** 2
