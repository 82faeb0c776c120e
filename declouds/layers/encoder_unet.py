"""A U-Net with a timm encoder, shared by denoisers, references and fusions."""

import torch
import torch.nn.functional as F
from torch import nn

from declouds.layers.padding import pad_to_multiple
from declouds.layers.timm_encoder import TimmEncoder
from declouds.layers.unet import Blocks, ResidualBlock, group_norm, zero_init


class FiLM(nn.Module):
    """Scale and shift features by an embedding (Perez et al. 2018, arXiv 1709.07871); starts as the identity.

    Shapes: x (B, C, H, W), embedding (B, E) -> (B, C, H, W).
    """

    def __init__(self, channels: int, embedding: int) -> None:
        super().__init__()
        self.projection = zero_init(nn.Linear(embedding, 2 * channels))

    def forward(self, x: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        """Return ``(1 + scale) x + shift``."""
        scale, shift = self.projection(F.silu(embedding))[..., None, None].chunk(2, dim=1)
        return (1 + scale) * x + shift


class EncoderUNet(nn.Module):
    """A U-Net (Ronneberger et al. 2015, arXiv 1505.04597) with a timm encoder.

    Encoders start at 1/2 or 1/4 of the image size. A stem of residual blocks provides the finer levels, so that texture
    reaches the output through skip connections. An embedding (of the timestep) scales and shifts every level, after the
    encoder and in the decoder; the encoder itself is unconditioned.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        embedding: channels of the embedding.
        encoder: name of the encoder in timm.
        pretrained: start the encoder from timm's pretrained weights.
        img_size: input size of encoders with a fixed size; timm's default if None.
        base: channels of decoder and stem at full resolution, doubled at each downsampling up to 8 times.
        blocks: residual blocks per level.
        dropout: dropout inside the residual blocks.

    Shapes: x (B, in_channels, H, W), embedding (B, E) -> (B, out_channels, H, W), any H and W (padded inside).

    Raises:
        UserError: the encoder is unusable.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        embedding: int,
        *,
        encoder: str,
        pretrained: bool,
        img_size: int | None,
        base: int,
        blocks: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.encoder = TimmEncoder(encoder, in_channels, pretrained=pretrained, img_size=img_size)

        def width(stride: int) -> int:
            return base * min(stride, 8)

        def residuals(inputs: int, outputs: int) -> Blocks:
            row = [inputs] + [outputs] * (blocks - 1)
            return Blocks(
                ResidualBlock(channels, outputs, embedding, scale_shift=True, dropout=dropout) for channels in row
            )

        self.stem, self.stem_blocks = nn.ModuleList(), nn.ModuleList()
        skips: list[int] = []  # channels of every level, finest first
        stride, channels = 1, in_channels
        while stride < self.encoder.reductions[0]:
            self.stem.append(nn.Conv2d(channels, width(stride), 3, stride=min(stride, 2), padding=1))
            channels = width(stride)
            self.stem_blocks.append(residuals(channels, channels))
            skips.append(channels)
            stride *= 2

        widths = [width(reduction) for reduction in self.encoder.reductions]
        self.laterals = nn.ModuleList(nn.Conv2d(*pair, 1) for pair in zip(self.encoder.channels, widths, strict=True))
        self.films = nn.ModuleList(FiLM(channels, embedding) for channels in widths)
        skips += widths

        channels = skips.pop()
        self.middle = residuals(channels, channels)
        self.decoder = nn.ModuleList()
        for skip in reversed(skips):
            self.decoder.append(residuals(channels + skip, skip))
            channels = skip
        self.out = nn.Sequential(
            group_norm(channels), nn.SiLU(), zero_init(nn.Conv2d(channels, out_channels, 3, padding=1))
        )

    def forward(self, x: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        """Return the raw output of the last convolution."""
        height, width = x.shape[-2:]
        x = pad_to_multiple(x, self.encoder.multiple)
        *skips, hidden = self._levels(x, embedding)
        hidden = self.middle(hidden, embedding)
        for blocks in self.decoder:
            skip = skips.pop()
            hidden = F.interpolate(hidden, size=skip.shape[-2:], mode="nearest")
            hidden = blocks(torch.cat([hidden, skip], dim=1), embedding)
        return self.out(hidden)[..., :height, :width]

    def _levels(self, x: torch.Tensor, embedding: torch.Tensor) -> list[torch.Tensor]:
        """Return the features of stem and encoder, finest first."""
        levels, hidden = [], x
        for conv, blocks in zip(self.stem, self.stem_blocks, strict=True):
            hidden = blocks(conv(hidden), embedding)
            levels.append(hidden)
        for feature, lateral, film in zip(self.encoder(x), self.laterals, self.films, strict=True):
            levels.append(film(lateral(feature), embedding))
        return levels
