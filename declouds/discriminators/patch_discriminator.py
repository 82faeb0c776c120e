"""PatchGAN discriminator."""

import torch
from torch import nn

from declouds.layers.padding import pad_to_multiple
from declouds.registry import DISCRIMINATORS


@DISCRIMINATORS.register_module()
class PatchDiscriminator(nn.Module):
    """Classifies image patches as real or restored, given the cloudy image (Isola et al. 2017, arXiv 1611.07004).

    With three halvings a patch is 54 pixels wide: the last two convolutions are 3x3, while the paper's 70-pixel patches
    use 4x4. Group instead of batch normalisation: the gradient penalty is per image, and batch statistics would drift
    apart between processes.

    Args:
        bands: bands of the image.
        in_bands: bands of the cloudy image; ``bands`` if not given.
        base: channels of the first level, doubled at each halving, up to 8 times.
        halvings: number of strided convolutions.

    Shapes: cloudy (B, in_bands, H, W), image (B, bands, H, W) -> logits (B, 1, about H / 2^halvings, W / 2^halvings).
    Units: images in [-1, 1]; logits are unbounded, high for real.
    """

    def __init__(self, bands: int = 3, in_bands: int | None = None, *, base: int = 64, halvings: int = 3) -> None:
        super().__init__()
        channels = [base * min(2**level, 8) for level in range(halvings + 1)]
        layers: list[nn.Module] = [
            nn.Conv2d((in_bands or bands) + bands, base, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
        ]
        for level in range(1, halvings + 1):
            stride = 2 if level < halvings else 1
            layers += [
                nn.Conv2d(channels[level - 1], channels[level], 3 + (stride == 2), stride=stride, padding=1),
                nn.GroupNorm(8, channels[level]),
                nn.LeakyReLU(0.2),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels[-1], 1, 3, padding=1))
        self.multiple = 2**halvings

    def forward(self, cloudy: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        return self.layers(pad_to_multiple(torch.cat([cloudy, image], dim=1), self.multiple))
