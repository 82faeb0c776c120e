"""The conditional noise predictor (CNP) of Diffusion Enhancement."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from declouds.errors import UserError
from declouds.layers.unet import UNet
from declouds.registry import DENOISERS


@DENOISERS.register_module()
class ConditionalUNet(nn.Module):
    """U-Net on the noisy and the cloudy image, as in Diffusion Enhancement (arXiv 2401.15105, section III-B).

    The defaults are the official network: 32.14 M parameters for 3 bands.

    Args:
        bands: bands of the image.
        in_bands: bands of the condition; ``bands`` if not given.
        base: channels of the first level.
        multipliers: channels of each level as multiples of ``base``.
        blocks: residual blocks per level.
        attention_at: downsampling factors with self-attention.
        heads: attention heads.
        scale_shift: scale and shift the norms by the timestep embedding.
        dropout: dropout inside the residual blocks.
        predicts: what the network predicts: the noise (official), the clear image, or the velocity
            ``alpha noise - sigma clear`` (Salimans & Ho 2022). Small networks work better with ``clear``.

    Shapes: x_t (B, bands, H, W), t (B,), cloudy (B, in_bands, H, W) -> (B, bands, H, W), any H and W.
    Units: images in [-1, 1]; t in steps of the noise schedule.

    Raises:
        UserError: unknown ``predicts``.
    """

    predicts = "noise"

    def __init__(
        self,
        bands: int = 3,
        in_bands: int | None = None,
        *,
        base: int = 96,
        multipliers: Sequence[int] = (1, 1, 2, 2, 3),
        blocks: int = 2,
        attention_at: Sequence[int] = (4, 8),
        heads: int = 4,
        scale_shift: bool = True,
        dropout: float = 0.0,
        predicts: Literal["noise", "clear", "velocity"] = "noise",
    ) -> None:
        super().__init__()
        if predicts not in ("noise", "clear", "velocity"):
            raise UserError(f"predicts must be 'noise', 'clear' or 'velocity', got {predicts!r}")
        self.predicts = predicts
        self.unet = UNet(
            bands + (in_bands or bands),
            bands,
            base=base,
            multipliers=multipliers,
            blocks=blocks,
            attention_at=attention_at,
            heads=heads,
            scale_shift=scale_shift,
            dropout=dropout,
        )

    def forward(self, x_t: torch.Tensor, t: torch.Tensor, cloudy: torch.Tensor) -> torch.Tensor:
        """Return the prediction named by ``predicts``."""
        return self.unet(torch.cat([x_t, cloudy], dim=1), t)
