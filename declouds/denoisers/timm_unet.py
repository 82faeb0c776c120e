"""Denoiser with any timm encoder."""

import torch
from torch import nn

from declouds.layers.encoder_unet import EncoderUNet
from declouds.layers.unet import time_embedding
from declouds.noise_schedules.process import check_prediction
from declouds.registry import DENOISERS


@DENOISERS.register_module()
class TimmUNet(nn.Module):
    """U-Net with any timm encoder, whose input is the noisy and the cloudy image, conditioned on the timestep.

    The timestep scales and shifts (FiLM, Perez et al. 2018, arXiv 1709.07871) the encoder's features and the norms of
    every decoder block. With the default ConvNeXt (Liu et al. 2022, arXiv 2201.03545): 34.67 M parameters.

    Args:
        bands: bands of the image.
        in_bands: bands of the condition; ``bands`` if not given.
        encoder: name of the encoder in timm.
        pretrained: start the encoder from timm's pretrained weights.
        img_size: input size of encoders with a fixed size; timm's default if not given.
        base: channels of decoder and stem at full resolution.
        blocks: residual blocks per level.
        dropout: dropout inside the residual blocks.
        predicts: what the network predicts, see `Process.mix`.
        takes_prior: give the network the prior too.

    Shapes: x_t (B, bands, H, W), t (B,), cloudy (B, in_bands, H, W) and, with ``takes_prior``, prior (B, bands, H, W)
    -> (B, bands, H, W), any H and W.
    Units: images in [-1, 1]; t in steps of the noise schedule.

    Raises:
        UserError: unknown ``predicts``, or an unusable encoder.
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
        predicts: str = "noise",
        takes_prior: bool = False,
    ) -> None:
        super().__init__()
        self.predicts, self.takes_prior = check_prediction(predicts), takes_prior
        self.embedding = 4 * base
        self.time_embed = nn.Sequential(
            nn.Linear(self.embedding, self.embedding), nn.SiLU(), nn.Linear(self.embedding, self.embedding)
        )
        self.unet = EncoderUNet(
            bands + (in_bands or bands) + takes_prior * bands,
            bands,
            self.embedding,
            encoder=encoder,
            pretrained=pretrained,
            img_size=img_size,
            base=base,
            blocks=blocks,
            dropout=dropout,
        )

    def forward(self, x_t: torch.Tensor, t: torch.Tensor, cloudy: torch.Tensor, *prior: torch.Tensor) -> torch.Tensor:
        """Return the prediction named by ``predicts``."""
        return self.unet(torch.cat([x_t, cloudy, *prior], dim=1), self.time_embed(time_embedding(t, self.embedding)))
