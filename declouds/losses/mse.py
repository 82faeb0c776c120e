"""Mean squared error."""

import torch
from torch import nn

from declouds.registry import LOSSES


@LOSSES.register_module()
class MSE(nn.Module):
    """Mean squared error, of images or attention maps. Shapes: output, target (B, C, H, W) -> scalar."""

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the mean of ``(output - target)^2``."""
        return (output - target).square().mean()
