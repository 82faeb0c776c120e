"""The absolute error at uniform, equally weighted training timesteps."""

import torch

from declouds.diffusion_losses.uniform_loss import UniformLoss
from declouds.registry import DIFFUSION_LOSSES


@DIFFUSION_LOSSES.register_module()
class AbsoluteLoss(UniformLoss):
    """Mean absolute error of the prediction at uniform timesteps, as in IR-SDE (Luo et al. 2023, arXiv 2301.11699).

    Its best estimate of the clear image is the median, which is sharper than the mean where several are possible.
    """

    def error(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the error of each value. Shapes: (B, C, H, W) twice -> (B, C, H, W)."""
        return (prediction - target).abs()
