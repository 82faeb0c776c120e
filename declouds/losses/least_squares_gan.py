"""Least-squares adversarial loss."""

import torch
from torch import nn

from declouds.registry import LOSSES


@LOSSES.register_module()
class LeastSquaresGAN(nn.Module):
    """Mean squared error of logits against 1 (real) or 0 (restored) (Mao et al. 2017, arXiv 1611.04076, equation 9).

    Without the paper's factor 1/2.

    Shapes: output (logits), target (1 real, 0 restored), same shape -> scalar.
    """

    takes = "logits"

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss."""
        return (output - target).square().mean()
