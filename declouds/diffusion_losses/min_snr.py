"""Less weight for timesteps with little noise."""

import torch

from declouds.diffusion_losses.uniform_loss import UniformLoss
from declouds.errors import UserError
from declouds.noise_schedules.process import Process
from declouds.registry import DIFFUSION_LOSSES


@DIFFUSION_LOSSES.register_module()
class MinSNR(UniformLoss):
    """Weights by the signal-to-noise ratio, at most ``gamma`` (Hang et al. 2023, arXiv 2303.09556, section 3.4).

    SNR = alpha^2 / sigma^2. A prediction of the clear image is weighted by min(SNR, gamma), of the noise by that over
    SNR, of the velocity by that over SNR + 1.

    Args:
        gamma: upper limit of the ratio; 5 in the paper.

    Raises:
        UserError: gamma is not above 0.
    """

    def __init__(self, gamma: float = 5.0) -> None:
        if not gamma > 0:
            raise UserError(f"MinSNR: gamma is above 0, not {gamma}")
        self.gamma = gamma

    def weight(self, t: torch.Tensor, process: Process, predicts: str) -> torch.Tensor:
        """Return how much an image counts at time ``t``. Shapes: (B,) -> (B,)."""
        alpha, sigma = process.alpha_sigma(t)
        snr = ((alpha / sigma) ** 2).flatten()
        share = {"clear": torch.ones_like(snr), "noise": snr, "velocity": snr + 1}
        return snr.clamp(max=self.gamma) / share[predicts]
