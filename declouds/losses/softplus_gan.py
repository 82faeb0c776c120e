"""The loss of the first adversarial networks."""

import torch
import torch.nn.functional as F
from torch import nn

from declouds.registry import LOSSES


@LOSSES.register_module()
class SoftplusGAN(nn.Module):
    """Cross entropy of logits: softplus(-x) where real is wanted, softplus(x) where not (Goodfellow et al. 2014).

    With real wanted of restored images it is the non-saturating loss of a generator (arXiv 1406.2661, section 3).

    Shapes: output (logits), target (1 real, 0 restored), of one shape -> scalar.
    """

    takes = "logits"

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss."""
        return F.binary_cross_entropy_with_logits(output, target)
