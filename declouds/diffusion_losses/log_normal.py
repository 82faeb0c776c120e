"""Training at log-normal noise levels."""

from typing import Any

import torch

from declouds.diffusion_losses.uniform_loss import UniformLoss
from declouds.errors import UserError
from declouds.noise_schedules.process import Process
from declouds.registry import DIFFUSION_LOSSES


@DIFFUSION_LOSSES.register_module()
class LogNormal(UniformLoss):
    """Noise levels sigma / alpha from a log-normal law (Karras et al. 2022, arXiv 2206.00364, table 1).

    With ``predicts="edm"`` the unit weight here is the paper's lambda(sigma) = 1 / c_out^2 on the clear image.

    Args:
        mean: mean of ln(sigma / alpha).
        std: its standard deviation.

    Raises:
        UserError: ``std`` is not positive.
    """

    def __init__(self, mean: float = -1.2, std: float = 1.2) -> None:
        if not std > 0:
            raise UserError(f"LogNormal: std must be positive, got {std}")
        self.mean, self.std = mean, std

    def draw_times(self, count: int, process: Process, device: Any = None) -> torch.Tensor:
        """Draw training times from torch's global generator. Shapes: (count,)."""
        return process.time_of((self.mean + self.std * torch.randn(count, device=device)).exp())
