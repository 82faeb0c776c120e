"""The reference that does nothing."""

import torch
from torch import nn

from declouds.registry import REFERENCES


@REFERENCES.register_module()
class Identity(nn.Module):
    """The cloudy image itself as prior: the baseline that every reference network has to beat.

    Shapes: cloudy (B, C, H, W) -> the same tensor.
    Units: [-1, 1].
    """

    def forward(self, cloudy: torch.Tensor) -> torch.Tensor:
        """Return ``cloudy``."""
        return cloudy
