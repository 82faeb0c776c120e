"""The conditional noise predictor (CNP) of Diffusion Enhancement."""

from collections.abc import Sequence

import torch
from torch import nn

from declouds.layers.unet import UNet
from declouds.noise_schedules.process import check_prediction
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
        predicts: what the network predicts: the ``noise`` (official), the ``clear`` image, or another parametrisation,
            see `Process.mix`. Small networks work better with ``clear``.
        takes_prior: give the network the prior too.

    Shapes: x_t (B, bands, H, W), t (B,), cloudy (B, in_bands, H, W) and, with ``takes_prior``, prior (B, bands, H, W)
    -> (B, bands, H, W), any H and W.
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
        predicts: str = "noise",
        takes_prior: bool = False,
    ) -> None:
        super().__init__()
        self.predicts, self.takes_prior = check_prediction(predicts), takes_prior
        self.unet = UNet(
            bands + (in_bands or bands) + takes_prior * bands,
            bands,
            base=base,
            multipliers=multipliers,
            blocks=blocks,
            attention_at=attention_at,
            heads=heads,
            scale_shift=scale_shift,
            dropout=dropout,
        )

    def forward(self, x_t: torch.Tensor, t: torch.Tensor, cloudy: torch.Tensor, *prior: torch.Tensor) -> torch.Tensor:
        """Return the prediction named by ``predicts``."""
        return self.unet(torch.cat([x_t, cloudy, *prior], dim=1), t)
