"""Error beyond that of the cloudy image."""

import torch
from torch import nn

from declouds.registry import LOSSES


@LOSSES.register_module()
class NoHarm(nn.Module):
    """Mean of what the absolute error exceeds that of the cloudy image by.

    Where an image does not tell a veil from bright ground, `L1` settles on the likelier of the two. With this loss
    beside it the pixel stays as it is unless a veil is likelier by far.

    Shapes: output, target, cloudy (B, C, H, W) -> scalar.
    """

    takes_cloudy = True

    def forward(self, output: torch.Tensor, target: torch.Tensor, cloudy: torch.Tensor) -> torch.Tensor:
        """Return the mean of ``max(|output - target| - |cloudy - target|, 0)``."""
        return ((output - target).abs() - (cloudy - target).abs()).clamp(min=0).mean()
