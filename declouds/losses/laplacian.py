"""CVAE's Laplacian edge loss."""

import torch
import torch.nn.functional as F
from torch import nn

from declouds.registry import LOSSES


@LOSSES.register_module()
class Laplacian(nn.Module):
    """Mean absolute error of the 8-neighbour Laplacian (Ding et al. 2022, ACCV).

    The Laplacian is 8 times the pixel minus the sum of its neighbours, with zero padding.

    Shapes: output, target (B, C, H, W) -> scalar.
    """

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss."""
        difference = output - target  # linear, so the Laplacian of the difference
        edges = 9 * (difference - F.avg_pool2d(difference, 3, stride=1, padding=1))  # 9 d - (sum of all 9)
        return edges.abs().mean()
