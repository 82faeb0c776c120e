"""Errors of the edges, as MPRNet is trained with."""

import torch
from kornia.filters import filter2d_separable
from torch import nn

from declouds.losses.charbonnier import Charbonnier
from declouds.registry import LOSSES

BLUR = (0.05, 0.25, 0.4, 0.25, 0.05)  # Burt & Adelson 1983, a = 0.4


@LOSSES.register_module()
class Edge(nn.Module):
    """Charbonnier distance of the finest levels of Laplacian pyramids (Zamir et al. 2021, arXiv 2102.02808, eq. 4).

    The level is what is lost when an image is blurred, reduced to every second pixel, and enlarged again: zeros put in
    between, four times the values, blurred once more. This is what the authors' code does where the paper writes a
    Laplacian.

    Args:
        epsilon: size of a difference below which the loss is quadratic.

    Shapes: output, target (B, C, H, W) -> scalar.
    """

    def __init__(self, epsilon: float = 1e-3) -> None:
        super().__init__()
        self.distance = Charbonnier(epsilon)

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss."""
        with torch.autocast(output.device.type, enabled=False):  # bfloat16 would drown edges in rounding
            edges = finest_level(output.float() - target.float())  # all of it is linear: one pass serves both
        return self.distance(edges, torch.zeros_like(edges))


def finest_level(image: torch.Tensor) -> torch.Tensor:
    """Return the finest level of the Laplacian pyramid. Shapes: (B, C, H, W) -> the same."""
    coarse = torch.zeros_like(image)
    coarse[..., ::2, ::2] = 4 * _blur(image)[..., ::2, ::2]
    return image - _blur(coarse)


def _blur(image: torch.Tensor) -> torch.Tensor:
    kernel = image.new_tensor([BLUR])
    return filter2d_separable(image, kernel, kernel, border_type="replicate")
