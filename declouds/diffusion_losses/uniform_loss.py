"""Uniform, equally weighted training timesteps."""

from typing import Any

import torch

from declouds.noise_schedules.process import Process
from declouds.registry import DIFFUSION_LOSSES


@DIFFUSION_LOSSES.register_module()
class UniformLoss:
    """Mean squared error of the prediction at uniform timesteps (Ho et al. 2020, arXiv 2006.11239, equation 14).

    Base class of other diffusion losses, which override the draw, the weight or the error.
    """

    def draw_times(self, count: int, process: Process, device: Any = None) -> torch.Tensor:
        """Draw training timesteps from torch's global generator. Shapes: (count,)."""
        return process.draw_times(count, device)

    def weight(self, t: torch.Tensor, process: Process, predicts: str) -> torch.Tensor | float:
        """Return the loss weight at timestep ``t``. Shapes: (B,) -> (B,)."""
        return 1.0

    def error(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the error of each value. Shapes: (B, C, H, W) twice -> (B, C, H, W)."""
        return (prediction - target).square()

    def __call__(
        self, prediction: torch.Tensor, target: torch.Tensor, t: torch.Tensor, process: Process, predicts: str
    ) -> torch.Tensor:
        """Return the loss of each image. Shapes: prediction and target (B, C, H, W), t (B,) -> (B,)."""
        return self.weight(t, process, predicts) * self.error(prediction, target).mean((1, 2, 3))
