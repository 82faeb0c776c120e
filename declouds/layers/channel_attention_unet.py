"""The channel-attention U-Net of MPRNet's stages (Zamir et al. 2021, arXiv 2102.02808)."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from declouds.layers.channel_attention import ChannelAttention

Pyramid = list[torch.Tensor]  # features at full, 1/2 and 1/4 size


def conv(in_channels: int, out_channels: int, kernel: int) -> nn.Conv2d:
    """Return a same-size convolution; MPRNet has no biases."""
    return nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False)


class AttentionBlock(nn.Module):
    """Two convolutions and channel attention, residual (CAB). Shapes: (B, C, H, W) -> the same."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.conv1 = conv(channels, channels, 3)
        self.act = nn.PReLU()
        self.conv2 = conv(channels, channels, 3)
        self.attention = ChannelAttention(channels, reduction, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``x`` plus the branch."""
        return x + self.attention(self.conv2(self.act(self.conv1(x))))


def attention_blocks(channels: int, reduction: int, count: int) -> nn.Sequential:
    """Return a sequence of ``count`` attention blocks."""
    return nn.Sequential(*[AttentionBlock(channels, reduction) for _ in range(count)])


class Shrink(nn.Module):
    """Downsample by 2 bilinearly (the 2x2 mean for even sizes), then change the channels."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = conv(in_channels, out_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shapes: (B, in, H, W) -> (B, out, H/2, W/2)."""
        return self.conv(F.avg_pool2d(x, 2))


class Enlarge(nn.Module):
    """Change the channels, then upsample by 2 bilinearly: the two commute, and this order costs a quarter."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = conv(in_channels, out_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shapes: (B, in, H, W) -> (B, out, 2H, 2W)."""
        return F.interpolate(self.conv(x), scale_factor=2, mode="bilinear", align_corners=False)


class CrossStage(nn.Module):
    """Resample one level of the previous stage's features for the next stage (CSFF).

    Args:
        channels: channels of the level, then of each finer level that the features pass through.
        width: output channels.
    """

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.from_encoder = self._path(channels, width)
        self.from_decoder = self._path(channels, width)

    @staticmethod
    def _path(channels: Sequence[int], width: int) -> nn.Sequential:
        return nn.Sequential(*[Enlarge(*pair) for pair in pairwise(channels)], conv(channels[-1], width, 1))

    def forward(self, encoded: torch.Tensor, decoded: torch.Tensor) -> torch.Tensor:
        """Return the features to add to those of the next stage."""
        return self.from_encoder(encoded) + self.from_decoder(decoded)


class Encoder(nn.Module):
    """Attention blocks at three scales; with ``cross_stage`` each adds features of the previous stage."""

    def __init__(self, channels: Sequence[int], reduction: int, *, cross_stage: bool) -> None:
        super().__init__()
        self.levels = nn.ModuleList([attention_blocks(width, reduction, 2) for width in channels])
        self.downs = nn.ModuleList([Shrink(*pair) for pair in pairwise(channels)])
        self.cross = nn.ModuleList([CrossStage([width], width) for width in channels if cross_stage])

    def forward(self, x: torch.Tensor, encoded: Pyramid | None = None, decoded: Pyramid | None = None) -> Pyramid:
        """Return the features of every level; ``encoded`` and ``decoded`` are those of the previous stage."""
        features: Pyramid = []
        for index, level in enumerate(self.levels):
            x = level(self.downs[index - 1](x) if index else x)
            if encoded is not None and decoded is not None:
                x = x + self.cross[index](encoded[index], decoded[index])
            features.append(x)
        return features


class Decoder(nn.Module):
    """Attention blocks at three scales, coarsest first, with an attention block on each skip connection."""

    def __init__(self, channels: Sequence[int], reduction: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList([attention_blocks(width, reduction, 2) for width in channels])
        self.skips = nn.ModuleList([AttentionBlock(width, reduction) for width in channels[:-1]])
        self.ups = nn.ModuleList([Enlarge(below, above) for above, below in pairwise(channels)])

    def forward(self, encoded: Pyramid) -> Pyramid:
        """Return the features of every level."""
        x = self.levels[-1](encoded[-1])
        features = [x]
        for index in reversed(range(len(self.skips))):
            x = self.levels[index](self.ups[index](x) + self.skips[index](encoded[index]))
            features.insert(0, x)
        return features
