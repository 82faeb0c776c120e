"""Uniform timesteps, all of which count alike."""

from typing import Any

import torch

from declouds.noise_schedules.process import Process
from declouds.registry import DIFFUSION_LOSSES


@DIFFUSION_LOSSES.register_module()
class UniformLoss:
    """Mean squared error of the prediction at uniform timesteps (Ho et al. 2020, arXiv 2006.11239, equation 14).

    Other diffusion losses derive from this one and change the draw or the weight.
    """

    def draw_times(self, count: int, process: Process, device: Any = None) -> torch.Tensor:
        """Draw timesteps from torch's generator. Shapes: (count,)."""
        return process.draw_times(count, device)

    def weight(self, t: torch.Tensor, process: Process, predicts: str) -> torch.Tensor | float:
        """Return how much an image counts at time ``t``. Shapes: (B,) -> (B,)."""
        return 1.0

    def __call__(
        self, prediction: torch.Tensor, target: torch.Tensor, t: torch.Tensor, process: Process, predicts: str
    ) -> torch.Tensor:
        """Return the loss of each image. Shapes: prediction and target (B, C, H, W), t (B,) -> (B,)."""
        error = torch.nn.functional.mse_loss(prediction, target, reduction="none").mean((1, 2, 3))
        return self.weight(t, process, predicts) * error
