"""Fusion with any timm encoder."""

import torch
from torch import nn

from declouds.layers.encoder_unet import EncoderUNet
from declouds.layers.unet import time_embedding
from declouds.registry import FUSIONS


@FUSIONS.register_module()
class TimmUNet(nn.Module):
    """U-Net with any timm encoder that weights the prior per pixel and band, conditioned on the timestep.

    Weight Allocation (arXiv 2401.15105, section III-C) with another network: its inputs are the same, and its last
    convolution is zero-initialised, so training starts from pure diffusion. With the default ConvNeXt (Liu et al. 2022,
    arXiv 2201.03545): 34.67 M parameters.

    Args:
        bands: bands of the image.
        in_bands: bands of the cloudy image; ``bands`` if not given.
        encoder: name of the encoder in timm.
        pretrained: start the encoder from timm's pretrained weights.
        img_size: input size of encoders with a fixed size; timm's default if not given.
        base: channels of decoder and stem at full resolution.
        blocks: residual blocks per level.
        dropout: dropout inside the residual blocks.

    Shapes: clear_hat, prior, x_t (B, bands, H, W), t (B,), cloudy (B, in_bands, H, W) -> weight (B, bands, H, W).
    Units: images in [-1, 1]; the weight is unbounded: the model clamps it when sampling.

    Raises:
        UserError: the encoder is unusable.
    """

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
    ) -> None:
        super().__init__()
        self.embedding = 4 * base
        self.time_embed = nn.Sequential(
            nn.Linear(self.embedding, self.embedding), nn.SiLU(), nn.Linear(self.embedding, self.embedding)
        )
        self.unet = EncoderUNet(
            2 * bands + (in_bands or bands),
            bands,
            self.embedding,
            encoder=encoder,
            pretrained=pretrained,
            img_size=img_size,
            base=base,
            blocks=blocks,
            dropout=dropout,
        )

    def forward(
        self, clear_hat: torch.Tensor, prior: torch.Tensor, x_t: torch.Tensor, t: torch.Tensor, cloudy: torch.Tensor
    ) -> torch.Tensor:
        """Return the weight of the prior."""
        embedding = self.time_embed(time_embedding(t, self.embedding))
        return self.unet(torch.cat([x_t, cloudy, prior], dim=1), embedding)
