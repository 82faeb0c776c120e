"""Mean absolute error of square roots."""

import torch
from torch import nn

from declouds.registry import LOSSES


@LOSSES.register_module()
class RootL1(nn.Module):
    """Mean absolute error of the square roots of [0, 1], in which dark ground counts more.

    As reflectances ground is below a tenth of the range of values, and a fill of the wrong colour costs `L1` little.

    Args:
        least: added to the values before, so that the gradient at 0 is finite.

    Shapes: output, target (B, C, H, W) -> scalar.
    Units: [-1, 1]; values below -1 count as -1.
    """

    def __init__(self, least: float = 0.02) -> None:
        super().__init__()
        self.least = least

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return twice the mean of ``|sqrt(output) - sqrt(target)|`` in [0, 1], on the scale of `L1`."""
        output, target = (((image + 1) / 2).clamp(min=0).add(self.least).sqrt() for image in (output, target))
        return 2 * (output - target).abs().mean()
