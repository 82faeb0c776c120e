"""The Weight Allocation network of Diffusion Enhancement."""

from collections.abc import Sequence

import torch
from torch import nn

from declouds.layers.unet import UNet
from declouds.registry import FUSIONS


@FUSIONS.register_module()
class WeightAllocation(nn.Module):
    """U-Net that weighs the prior per pixel and band (arXiv 2401.15105, section III-C).

    Its last convolution starts at zero, so training starts from pure diffusion. The defaults are the official network:
    4.66 M parameters for 3 bands.

    Args:
        bands: bands of the image.
        in_bands: bands of the cloudy image; ``bands`` if not given.
        base: channels of the first level.
        multipliers: channels of each level as multiples of ``base``.
        blocks: residual blocks a level.
        attention_at: downsampling factors that have self-attention.
        heads: attention heads.

    Shapes: clear_hat, prior, x_t (B, bands, H, W), t (B,), cloudy (B, in_bands, H, W) -> weight (B, bands, H, W).
    Units: images in [-1, 1]; the weight is raw: the model clamps it when it samples.
    """

    def __init__(
        self,
        bands: int = 3,
        in_bands: int | None = None,
        *,
        base: int = 64,
        multipliers: Sequence[int] = (1, 1, 2),
        blocks: int = 2,
        attention_at: Sequence[int] = (4,),
        heads: int = 1,
    ) -> None:
        super().__init__()
        self.unet = UNet(
            2 * bands + (in_bands or bands),
            bands,
            base=base,
            multipliers=multipliers,
            blocks=blocks,
            attention_at=attention_at,
            heads=heads,
            scale_shift=False,
        )

    def forward(
        self, clear_hat: torch.Tensor, prior: torch.Tensor, x_t: torch.Tensor, t: torch.Tensor, cloudy: torch.Tensor
    ) -> torch.Tensor:
        """Return the weight of the prior."""
        return self.unet(torch.cat([x_t, cloudy, prior], dim=1), t)
