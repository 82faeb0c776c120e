"""Errors of the edges, as the CVAE is trained with."""

import torch
import torch.nn.functional as F
from torch import nn

from declouds.registry import LOSSES


@LOSSES.register_module()
class Laplacian(nn.Module):
    """Mean absolute error of how much a pixel differs from its eight neighbours (Ding et al. 2022, ACCV).

    The Laplacian is 8 times the pixel minus the sum of its neighbours; outside of the image there are zeros.

    Shapes: output, target (B, C, H, W) -> scalar.
    """

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss."""
        difference = output - target  # the Laplacian is linear: one pass serves both
        edges = 9 * (difference - F.avg_pool2d(difference, 3, stride=1, padding=1))  # 9 d - (sum of all 9)
        return edges.abs().mean()
