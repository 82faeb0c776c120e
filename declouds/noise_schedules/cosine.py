"""The cosine noise schedule."""

import math

import torch

from declouds.noise_schedules.variance_preserving import VariancePreserving
from declouds.registry import NOISE_SCHEDULES


@NOISE_SCHEDULES.register_module()
class CosineSchedule(VariancePreserving):
    """Squared-cosine abar_t (Nichol & Dhariwal 2021, arXiv 2102.09672, equation 17).

    Args:
        num_steps: number of diffusion steps T.
        offset: the paper's s, which keeps the first betas from vanishing.
        max_beta: upper limit of the betas, which keeps the last one below 1.
    """

    def __init__(self, num_steps: int = 1000, offset: float = 0.008, max_beta: float = 0.999) -> None:
        time = torch.arange(num_steps + 1, dtype=torch.float64) / num_steps
        abar = torch.cos((time + offset) / (1 + offset) * math.pi / 2) ** 2
        super().__init__((1 - abar[1:] / abar[:-1]).clamp(max=max_beta))
