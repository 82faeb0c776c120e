"""The identity reference."""

import torch
from torch import nn

from declouds.layers.input_bands import input_bands
from declouds.registry import REFERENCES


@REFERENCES.register_module()
class Identity(nn.Module):
    """The cloudy image itself as prior: the baseline for reference networks.

    Args:
        bands: bands of the prior.
        in_bands: bands of the cloudy image, the first ``bands`` of which are the prior; ``bands`` if not given.

    Shapes: cloudy (B, in_bands, H, W) -> (B, bands, H, W).
    Units: [-1, 1].

    Raises:
        UserError: ``in_bands`` is less than ``bands``.
    """

    def __init__(self, bands: int = 3, in_bands: int | None = None) -> None:
        super().__init__()
        input_bands("Identity", bands, in_bands)
        self.bands = bands

    def forward(self, cloudy: torch.Tensor) -> torch.Tensor:
        """Return the first ``bands`` of ``cloudy``."""
        return cloudy[:, : self.bands]
