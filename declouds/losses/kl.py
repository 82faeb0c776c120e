"""KL divergence of a latent code from the standard normal."""

import torch
from torch import nn

from declouds.registry import LOSSES


@LOSSES.register_module()
class KL(nn.Module):
    """KL divergence of a diagonal normal from the standard normal (Kingma & Welling 2014, arXiv 1312.6114, appendix B).

    ``-1/2 sum(1 + log_variance - mean^2 - variance)``, summed over the code, averaged over images. Has no target.

    Shapes: output (mean, log_variance), each (B, ...) -> scalar.
    """

    takes = "latent"

    def forward(self, output: tuple[torch.Tensor, torch.Tensor], target: torch.Tensor | None = None) -> torch.Tensor:
        """Return the divergence."""
        mean, log_variance = (value.float() for value in output)
        return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).flatten(1).sum(1).mean()
