"""The adversarial loss of a critic."""

import torch
from torch import nn

from declouds.registry import LOSSES


@LOSSES.register_module()
class WassersteinGAN(nn.Module):
    """Mean of -x where real is wanted, of x where not (Arjovsky et al. 2017, arXiv 1701.07875, equation 3).

    It is a distance only of a critic whose slope is bounded: give the stage a ``gradient_penalty``.

    Shapes: output (the critic's values), target (1 real, 0 restored), of one shape -> scalar.
    """

    takes = "logits"

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss."""
        return (output * (1 - 2 * target)).mean()
