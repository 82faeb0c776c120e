"""MPRNet's edge loss."""

import torch
from kornia.filters import filter2d_separable
from torch import nn

from declouds.losses.charbonnier import Charbonnier
from declouds.registry import LOSSES

BLUR = (0.05, 0.25, 0.4, 0.25, 0.05)  # Burt & Adelson 1983, a = 0.4


@LOSSES.register_module()
class Edge(nn.Module):
    """Charbonnier loss between the finest levels of Laplacian pyramids (Zamir et al. 2021, arXiv 2102.02808, eq. 4).

    The level is the image minus its blurred, 2x decimated and upsampled version (zeros inserted, values times 4,
    blurred again). This is the authors' code, where the paper has a Laplacian.

    Args:
        epsilon: difference below which the loss is quadratic.

    Shapes: output, target (B, C, H, W) -> scalar.
    """

    def __init__(self, epsilon: float = 1e-3) -> None:
        super().__init__()
        self.distance = Charbonnier(epsilon)

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss."""
        with torch.autocast(output.device.type, enabled=False):  # edges are lost to rounding in bfloat16
            edges = finest_level(output.float() - target.float())  # linear, so the level of the difference
        return self.distance(edges, torch.zeros_like(edges))


def finest_level(image: torch.Tensor) -> torch.Tensor:
    """Return the finest level of the Laplacian pyramid. Shapes: (B, C, H, W) -> the same."""
    coarse = torch.zeros_like(image)
    coarse[..., ::2, ::2] = 4 * _blur(image)[..., ::2, ::2]
    return image - _blur(coarse)


def _blur(image: torch.Tensor) -> torch.Tensor:
    kernel = image.new_tensor([BLUR])
    return filter2d_separable(image, kernel, kernel, border_type="replicate")
