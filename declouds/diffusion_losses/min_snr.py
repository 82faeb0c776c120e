"""Min-SNR weighting of training timesteps."""

import torch

from declouds.diffusion_losses.uniform_loss import UniformLoss
from declouds.errors import UserError
from declouds.noise_schedules.process import Process
from declouds.registry import DIFFUSION_LOSSES


@DIFFUSION_LOSSES.register_module()
class MinSNR(UniformLoss):
    """Weights by the signal-to-noise ratio, clamped to ``gamma`` (Hang et al. 2023, arXiv 2303.09556, section 3.4).

    SNR = alpha^2 / sigma^2. Predictions of the clear image are weighted by min(SNR, gamma), of the noise by min(SNR,
    gamma) / SNR, of the velocity by min(SNR, gamma) / (SNR + 1).

    Args:
        gamma: upper limit of the SNR; 5 in the paper.

    Raises:
        UserError: gamma is not positive.
    """

    def __init__(self, gamma: float = 5.0) -> None:
        if not gamma > 0:
            raise UserError(f"MinSNR: gamma must be positive, got {gamma}")
        self.gamma = gamma

    def weight(self, t: torch.Tensor, process: Process, predicts: str) -> torch.Tensor:
        """Return the loss weight at timestep ``t``. Shapes: (B,) -> (B,)."""
        alpha, sigma = process.alpha_sigma(t)
        snr = ((alpha / sigma) ** 2).flatten()
        divisor = {"clear": torch.ones_like(snr), "noise": snr, "velocity": snr + 1}
        return snr.clamp(max=self.gamma) / divisor[predicts]
