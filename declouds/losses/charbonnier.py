"""Charbonnier loss."""

import torch
from torch import nn

from declouds.registry import LOSSES


@LOSSES.register_module()
class Charbonnier(nn.Module):
    """Mean of ``sqrt(difference^2 + epsilon^2)`` (Charbonnier et al. 1994), MPRNet's training loss.

    Args:
        epsilon: difference below which the loss is quadratic.

    Shapes: output, target (B, C, H, W) -> scalar.
    """

    def __init__(self, epsilon: float = 1e-3) -> None:
        super().__init__()
        self.epsilon = epsilon

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss."""
        return ((output - target) ** 2 + self.epsilon**2).sqrt().mean()
