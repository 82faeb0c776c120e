"""DSen2-CR, a residual network on optical image and radar."""

import torch
from torch import nn

from declouds.layers.input_bands import input_bands
from declouds.registry import REFERENCES

RESIDUAL_SCALE = 0.1


@REFERENCES.register_module()
class DSen2CR(nn.Module):
    """DSen2-CR (Meraner et al., ISPRS Journal 166, 2020, 333-346): a correction of the image by all inputs.

    The cloudy image and its further sources, such as radar, are concatenated; convolutions at full size give a
    correction, and a long skip connection adds the cloudy image. Where the image is clear the network only has to give
    0, and below cloud it can draw on the sources. Without further sources it is the same network on the image alone.
    The defaults are the published size: 18.95 M parameters for 13 bands with VV and VH.

    Unlike there, images are in [-1, 1] and not reflectance / 2000, and the cloud-adaptive loss is not part of it.

    Args:
        bands: bands of the prior.
        in_bands: bands of the input, the first ``bands`` of which are corrected; ``bands`` if not given.
        features: channels of the residual blocks.
        blocks: number of residual blocks.

    Shapes: cloudy (B, in_bands, H, W) -> prior (B, bands, H, W), any H and W.
    Units: [-1, 1].

    Raises:
        UserError: ``in_bands`` is less than ``bands``.
    """

    def __init__(self, bands: int = 3, in_bands: int | None = None, *, features: int = 256, blocks: int = 16) -> None:
        super().__init__()
        self.bands = bands
        self.first = nn.Conv2d(input_bands("DSen2CR", bands, in_bands), features, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(features, features, 3, padding=1), nn.ReLU(), nn.Conv2d(features, features, 3, padding=1)
            )
            for _ in range(blocks)
        )
        self.last = nn.Conv2d(features, bands, 3, padding=1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def training_outputs(self, cloudy: torch.Tensor, clear: torch.Tensor) -> dict[str, list[torch.Tensor]]:
        """Return the unclamped estimate, so that the loss has a gradient outside [-1, 1] too."""
        return dict(restorations=[self._restoration(cloudy)])

    def _restoration(self, cloudy: torch.Tensor) -> torch.Tensor:
        hidden = self.first(cloudy).relu()
        for block in self.blocks:
            hidden = hidden + RESIDUAL_SCALE * block(hidden)
        return cloudy[:, : self.bands] + self.last(hidden).float()

    def forward(self, cloudy: torch.Tensor) -> torch.Tensor:
        """Return the prior, clamped to [-1, 1]."""
        return self._restoration(cloudy).clamp(-1, 1)
