"""Structural similarity as a loss."""

import torch
import torch.nn.functional as F
from kornia.losses import ssim_loss
from torch import nn

from declouds.registry import LOSSES


@LOSSES.register_module()
class SSIM(nn.Module):
    """Half of what the structural similarity (Wang et al. 2004) lacks to one, as a loss beside L1.

    So combined by Zhao et al. 2017 (arXiv 1511.08861). Its contrast term asks for the contrast that a veil has taken,
    where L1 alone is content with the grey in between.

    Args:
        window: pixels a side of the Gaussian window, odd.
        reduce: images are averaged over squares of this side first: less work, and larger windows.

    Shapes: output, target (B, C, H, W) -> scalar.
    Units: images in [-1, 1]; the loss in [0, 1].
    """

    def __init__(self, window: int = 11, reduce: int = 1) -> None:
        super().__init__()
        self.window, self.reduce = window, reduce

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss."""
        with torch.autocast(output.device.type, enabled=False):  # variances are lost to rounding in bfloat16
            ours, theirs = (F.avg_pool2d((image.float() + 1) / 2, self.reduce) for image in (output, target))
            return ssim_loss(ours, theirs, self.window)
