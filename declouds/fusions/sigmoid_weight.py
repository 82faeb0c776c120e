"""The Weight Allocation network with a bounded output."""

import math
from typing import Any

import torch
from torch import nn

from declouds.errors import UserError
from declouds.fusions.weight_allocation import WeightAllocation
from declouds.registry import FUSIONS


@FUSIONS.register_module()
class SigmoidWeight(nn.Module):
    """Weight Allocation bounded by a sigmoid: the fused pixel lies between prior and diffusion, in training as well.

    A variant of arXiv 2401.15105, section III-C, where the weight is unbounded in training and clamped when sampling. A
    clamp has no gradient outside its bounds; a sigmoid does. The network output starts at 0, the weight at ``start``.

    Args:
        bands: bands of the image.
        in_bands: bands of the cloudy image; ``bands`` if not given.
        start: initial weight; the default is the model's default ``eta``, to which sampling clamps a weight of 0.
        **network: the other arguments of ``WeightAllocation``.

    Shapes: clear_hat, prior, x_t (B, bands, H, W), t (B,), cloudy (B, in_bands, H, W) -> weight (B, bands, H, W).
    Units: images in [-1, 1]; the weight is between 0, the diffusion alone, and 1, the prior alone.

    Raises:
        UserError: ``start`` is not between 0 and 1; see also ``WeightAllocation``.
    """

    def __init__(self, bands: int = 3, in_bands: int | None = None, *, start: float = 0.3, **network: Any) -> None:
        super().__init__()
        if not 0 < start < 1:
            raise UserError(f"SigmoidWeight: start must be between 0 and 1, exclusive, got {start}")
        self.offset = math.log(start / (1 - start))
        self.allocation = WeightAllocation(bands, in_bands, **network)

    def forward(
        self, clear_hat: torch.Tensor, prior: torch.Tensor, x_t: torch.Tensor, t: torch.Tensor, cloudy: torch.Tensor
    ) -> torch.Tensor:
        """Return the weight of the prior."""
        return (self.allocation(clear_hat, prior, x_t, t, cloudy) + self.offset).sigmoid()
