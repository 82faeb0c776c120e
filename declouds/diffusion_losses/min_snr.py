"""Min-SNR weighting of training timesteps."""

import torch

from declouds.diffusion_losses.uniform_loss import UniformLoss
from declouds.errors import UserError
from declouds.noise_schedules.process import Process
from declouds.registry import DIFFUSION_LOSSES


@DIFFUSION_LOSSES.register_module()
class MinSNR(UniformLoss):
    """Weights by the signal-to-noise ratio, clamped to ``gamma`` (Hang et al. 2023, arXiv 2303.09556, section 3.4).

    SNR = alpha^2 / sigma^2. Predictions of the clear image are weighted by min(SNR, gamma), all others by that times
    the square of what an error of theirs does to the clear image: 1 / SNR of the noise, 1 / (SNR + 1) of the velocity.

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
        out = process.mix(t, predicts).out
        return ((alpha / sigma) ** 2).clamp(max=self.gamma).flatten() * torch.as_tensor(out**2).flatten()
