"""Errors of the edges."""

import torch
from kornia.filters import gaussian_blur2d
from torch import nn

from declouds.losses.charbonnier import Charbonnier
from declouds.registry import LOSSES


@LOSSES.register_module()
class Edge(nn.Module):
    """Charbonnier distance of what a Gaussian blur takes away (Zamir et al. 2021, arXiv 2102.02808, equation 4).

    The Laplacian of the paper is taken as image minus blurred image, a 5x5 Gaussian.

    Shapes: output, target (B, C, H, W) -> scalar.
    """

    def __init__(self, epsilon: float = 1e-3) -> None:
        super().__init__()
        self.distance = Charbonnier(epsilon)

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss."""
        difference = output - target  # the filter is linear: one blur serves both
        edges = difference - gaussian_blur2d(difference, (5, 5), (1.0, 1.0), border_type="replicate")
        return self.distance(edges, torch.zeros_like(edges))
