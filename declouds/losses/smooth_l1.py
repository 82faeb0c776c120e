"""A mean absolute error that is quadratic near zero."""

import torch
import torch.nn.functional as F
from torch import nn

from declouds.registry import LOSSES


@LOSSES.register_module()
class SmoothL1(nn.Module):
    """Mean of d^2 / (2 beta) where |d| < beta, and of |d| - beta / 2 elsewhere (Girshick 2015, equation 3).

    Args:
        beta: size of a difference below which the loss is quadratic. Images in [-1, 1] have differences twice as large
            as images in [0, 1], for which papers tell it.

    Shapes: output, target (B, C, H, W) -> scalar.
    """

    def __init__(self, beta: float = 1.0) -> None:
        super().__init__()
        self.beta = beta

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss."""
        return F.smooth_l1_loss(output, target, beta=self.beta)
