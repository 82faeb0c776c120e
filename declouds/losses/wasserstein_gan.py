"""Wasserstein adversarial loss."""

import torch
from torch import nn

from declouds.registry import LOSSES


@LOSSES.register_module()
class WassersteinGAN(nn.Module):
    """Mean of -x for real targets, of x for restored ones (Arjovsky et al. 2017, arXiv 1701.07875, equation 3).

    Needs a Lipschitz-bounded critic: set the stage's ``gradient_penalty``.

    Shapes: output (the critic's values), target (1 real, 0 restored), same shape -> scalar.
    """

    takes = "logits"

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss."""
        return (output * (1 - 2 * target)).mean()
