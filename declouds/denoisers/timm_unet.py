"""A denoiser on any encoder of timm."""

from typing import Literal

import torch
from torch import nn

from declouds.errors import UserError
from declouds.layers.encoder_unet import EncoderUNet
from declouds.layers.unet import time_embedding
from declouds.registry import DENOISERS


@DENOISERS.register_module()
class TimmUNet(nn.Module):
    """U-Net on any encoder of timm that sees the noisy and the cloudy image, conditioned on the time.

    The time scales and shifts (FiLM, Perez et al. 2018, arXiv 1709.07871) what comes out of the encoder, and the norms
    of every decoder block. With the default ConvNeXt (Liu et al. 2022, arXiv 2201.03545): 34.67 M parameters.

    Args:
        bands: bands of the image.
        in_bands: bands of the condition; ``bands`` if not given.
        encoder: name of the encoder in timm.
        pretrained: start the encoder from timm's pretrained weights.
        img_size: size that the encoder is made for, if it is made for one; timm's own if not given.
        base: channels of decoder and stem at full size.
        blocks: residual blocks a level.
        dropout: dropout inside the residual blocks.
        predicts: what the output stands for: the noise, the clear image, or the velocity ``alpha noise - sigma clear``
            (Salimans & Ho 2022).

    Shapes: x_t (B, bands, H, W), t (B,), cloudy (B, in_bands, H, W) -> (B, bands, H, W), any H and W.
    Units: images in [-1, 1]; t in steps of the noise schedule.

    Raises:
        UserError: ``predicts`` is none of the three, or the encoder cannot be used.
    """

    predicts = "noise"

    def __init__(
        self,
        bands: int = 3,
        in_bands: int | None = None,
        *,
        encoder: str = "convnext_tiny",
        pretrained: bool = False,
        img_size: int | None = None,
        base: int = 32,
        blocks: int = 1,
        dropout: float = 0.0,
        predicts: Literal["noise", "clear", "velocity"] = "noise",
    ) -> None:
        super().__init__()
        if predicts not in ("noise", "clear", "velocity"):
            raise UserError(f"a denoiser predicts 'noise', 'clear' or 'velocity', not {predicts!r}")
        self.predicts = predicts
        self.embedding = 4 * base
        self.time_embed = nn.Sequential(
            nn.Linear(self.embedding, self.embedding), nn.SiLU(), nn.Linear(self.embedding, self.embedding)
        )
        self.unet = EncoderUNet(
            bands + (in_bands or bands),
            bands,
            self.embedding,
            encoder=encoder,
            pretrained=pretrained,
            img_size=img_size,
            base=base,
            blocks=blocks,
            dropout=dropout,
        )

    def forward(self, x_t: torch.Tensor, t: torch.Tensor, cloudy: torch.Tensor) -> torch.Tensor:
        """Return the prediction that ``predicts`` names."""
        return self.unet(torch.cat([x_t, cloudy], dim=1), self.time_embed(time_embedding(t, self.embedding)))
