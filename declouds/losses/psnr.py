"""The peak signal-to-noise ratio as a loss."""

import torch
from torch import nn

from declouds.registry import LOSSES


@LOSSES.register_module()
class PSNR(nn.Module):
    """Negative peak signal-to-noise ratio, averaged over images (Chen et al. 2021, arXiv 2105.06086).

    Weights all images equally, whatever their error. NAFNet's training loss.

    Args:
        epsilon: added to the mean squared error, of images in [0, 1], so that the loss stays finite.

    Shapes: output, target (B, C, H, W) -> scalar.
    Units: images in [-1, 1]; the loss in dB.
    """

    def __init__(self, epsilon: float = 1e-8) -> None:
        super().__init__()
        self.epsilon = epsilon

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss."""
        error = ((output - target) / 2).square().mean((1, 2, 3))
        return 10 * (error + self.epsilon).log10().mean()
