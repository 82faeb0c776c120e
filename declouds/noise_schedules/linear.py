"""The linear noise schedule."""

import torch

from declouds.noise_schedules.variance_preserving import VariancePreserving
from declouds.registry import NOISE_SCHEDULES


@NOISE_SCHEDULES.register_module()
class LinearSchedule(VariancePreserving):
    """Linearly spaced betas from ``beta_start`` to ``beta_end`` (Ho et al. 2020, section 4); the official schedule.

    Args:
        num_steps: number of diffusion steps T.
        beta_start: first beta.
        beta_end: last beta.
    """

    def __init__(self, num_steps: int = 1000, beta_start: float = 1e-4, beta_end: float = 2e-2) -> None:
        super().__init__(torch.linspace(beta_start, beta_end, num_steps, dtype=torch.float64))
