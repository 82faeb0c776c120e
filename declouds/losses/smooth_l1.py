"""Smooth L1 loss."""

import torch
import torch.nn.functional as F
from torch import nn

from declouds.registry import LOSSES


@LOSSES.register_module()
class SmoothL1(nn.Module):
    """Mean of d^2 / (2 beta) where |d| < beta, and of |d| - beta / 2 elsewhere (Girshick 2015, equation 3).

    Args:
        beta: difference below which the loss is quadratic. Papers give it for images in [0, 1]; in [-1, 1] differences
            are twice as large.

    Shapes: output, target (B, C, H, W) -> scalar.
    """

    def __init__(self, beta: float = 1.0) -> None:
        super().__init__()
        self.beta = beta

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss."""
        return F.smooth_l1_loss(output, target, beta=self.beta)
