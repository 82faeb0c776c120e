"""MSDA-CR's block: feature restyling modelled on light transfer through thin cloud."""

import torch
import torch.nn.functional as F
from torch import nn

from declouds.layers.channel_attention import ChannelAttention


class DenseLayers(nn.Module):
    """Residual dense layers (Zhang et al. 2018): each convolution takes the outputs of all previous ones.

    Shapes: (B, C, H, W) -> the same.
    """

    def __init__(self, channels: int, layers: int, growth: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            [nn.Conv2d(channels + index * growth, growth, 3, padding=1) for index in range(layers)]
        )
        self.project = nn.Conv2d(channels + layers * growth, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``x`` plus the projection of all layers."""
        dense = x
        for conv in self.convs:
            dense = torch.cat([dense, F.relu(conv(dense))], 1)
        return x + self.project(dense)


class DistortionAwareBlock(nn.Module):
    """Cloud-distortion-aware representation learning (Yu et al., GRSL 2022, MSDA-CR).

    Instance-normalised features are restyled in three ways, all guided by the features themselves: one style for the
    whole image (mean and standard deviation per channel), and two per pixel, for the light reflected by the cloud and
    the light transmitted through it. Two attention maps, alpha and beta, mix the styles:
    ``alpha reflected + (1 - alpha) ((1 - beta) transmitted + beta whole)``.

    Args:
        channels: channels of input and output.
        layers: dense layers.
        growth: channels that each dense layer adds.

    Shapes: (B, C, H, W) -> the same; the image needs at least two pixels.
    """

    def __init__(self, channels: int, layers: int, growth: int) -> None:
        super().__init__()
        self.content = DenseLayers(channels, layers, growth)
        self.structure = DenseLayers(channels, layers, growth)
        self.guide_reflected = nn.Conv2d(channels, channels // 2, 3, padding=1)
        self.guide_transmitted = nn.Conv2d(channels, channels // 2, 3, padding=1)
        self.whole = nn.Linear(channels // 2, 2 * channels)
        self.reflected_scale = nn.Conv2d(channels // 2, channels, 3, padding=1)
        self.reflected_shift = nn.Conv2d(channels // 2, channels, 3, padding=1)
        self.transmitted_scale = nn.Conv2d(channels // 2, channels, 3, padding=1)
        self.transmitted_shift = nn.Conv2d(channels // 2, channels, 3, padding=1)
        self.alpha = nn.Conv2d(channels, 1, 3, padding=1)
        self.beta = nn.Conv2d(channels, 1, 3, padding=1)
        self.merge = nn.Conv2d(2 * channels, channels, 1)
        self.attention = ChannelAttention(channels, 4, bias=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``x`` plus its restyled features."""
        content = self.content(x)
        normalised = F.group_norm(self.structure(F.group_norm(x, x.shape[1])), x.shape[1])

        guide = F.relu(self.guide_reflected(content))
        shift, scale = self.whole(guide.mean(dim=(2, 3)))[..., None, None].chunk(2, dim=1)  # each (B, C, 1, 1)
        whole = normalised * scale + shift
        reflected = normalised * (1 + self.reflected_scale(guide)) + self.reflected_shift(guide)
        guide = F.relu(self.guide_transmitted(content))
        transmitted = normalised * (1 + self.transmitted_scale(guide)) + self.transmitted_shift(guide)

        alpha, beta = torch.sigmoid(self.alpha(normalised)), torch.sigmoid(self.beta(normalised))  # (B, 1, H, W)
        styled = alpha * reflected + (1 - alpha) * ((1 - beta) * transmitted + beta * whole)
        return x + self.attention(self.merge(torch.cat([content, styled], 1)))
