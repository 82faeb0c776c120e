"""Mean absolute error."""

import torch
from torch import nn

from declouds.registry import LOSSES


@LOSSES.register_module()
class L1(nn.Module):
    """Mean absolute error. Shapes: output, target (B, C, H, W) -> scalar."""

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the mean of ``|output - target|``."""
        return (output - target).abs().mean()
