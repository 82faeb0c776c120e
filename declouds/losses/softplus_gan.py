"""Original adversarial loss, non-saturating."""

import torch
import torch.nn.functional as F
from torch import nn

from declouds.registry import LOSSES


@LOSSES.register_module()
class SoftplusGAN(nn.Module):
    """Cross entropy of logits: softplus(-x) for real targets, softplus(x) for restored ones (Goodfellow et al. 2014).

    With real targets for restored images it is the generator's non-saturating loss (arXiv 1406.2661, section 3).

    Shapes: output (logits), target (1 real, 0 restored), same shape -> scalar.
    """

    takes = "logits"

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss."""
        return F.binary_cross_entropy_with_logits(output, target)
