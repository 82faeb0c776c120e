"""A small haze-correcting reference: a gain and an offset per pixel and band."""

from collections.abc import Sequence

import torch
from torch import nn

from declouds.layers.input_bands import input_bands
from declouds.layers.unet import UNet
from declouds.registry import REFERENCES


@REFERENCES.register_module()
class GainOffsetUNet(nn.Module):
    """U-Net that inverts the scattering model: clear = (1 + gain) * cloudy + offset, per pixel and band.

    Light through thin cloud arrives as ``cloudy = t clear + (1 - t) airlight`` (Narasimhan & Nayar 2002), which is
    linear in the clear image, so its inverse is a gain and an offset. Under opaque cloud the offset alone fills in the
    surface. It starts as the identity and trains in minutes on a CPU.

    Args:
        bands: bands of the prior.
        in_bands: bands of the cloudy image, the first ``bands`` of which are corrected; ``bands`` if not given.
        base: channels of the first level.
        multipliers: channels of each level as multiples of ``base``.
        blocks: residual blocks per level.
        attention_at: downsampling factors with self-attention.
        heads: attention heads.

    Shapes: cloudy (B, in_bands, H, W) -> (B, bands, H, W), any H and W.
    Units: [-1, 1].

    Raises:
        UserError: ``in_bands`` is less than ``bands``.
    """

    def __init__(
        self,
        bands: int = 3,
        in_bands: int | None = None,
        *,
        base: int = 24,
        multipliers: Sequence[int] = (1, 2, 3, 4),
        blocks: int = 1,
        attention_at: Sequence[int] = (8,),
        heads: int = 4,
    ) -> None:
        super().__init__()
        self.bands = bands
        self.unet = UNet(
            input_bands("GainOffsetUNet", bands, in_bands),
            2 * bands,
            base=base,
            multipliers=multipliers,
            blocks=blocks,
            attention_at=attention_at,
            heads=heads,
            scale_shift=False,
        )

    def training_outputs(self, cloudy: torch.Tensor, clear: torch.Tensor) -> dict[str, list[torch.Tensor]]:
        """Return the unclamped estimate, so that the loss has a gradient outside [-1, 1] too."""
        return dict(restorations=[self._restoration(cloudy)])

    def _restoration(self, cloudy: torch.Tensor) -> torch.Tensor:
        t = torch.zeros(len(cloudy), device=cloudy.device)  # the U-Net takes a timestep; here it is constant
        gain, offset = self.unet(cloudy, t).float().chunk(2, dim=1)
        return (1 + gain) * cloudy[:, : self.bands] + offset

    def forward(self, cloudy: torch.Tensor) -> torch.Tensor:
        """Return the prior, clamped to [-1, 1]."""
        return self._restoration(cloudy).clamp(-1, 1)
