"""Residual branch of SpA-GAN's and AMGAN-CR's blocks."""

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn


def dilated_bottleneck(channels: int, names: Sequence[str] = ("0", "1", "2", "3", "4")) -> nn.Sequential:
    """Return a residual branch: a dilated 3x3 convolution between two 1x1 ones, with ReLUs.

    Args:
        channels: channels of every layer.
        names: names of the five layers in a state dict.

    Shapes: (B, C, H, W) -> the same.
    """
    layers = (
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.ReLU(),
        nn.Conv2d(channels, channels, 3, padding=2, dilation=2, bias=False),
        nn.ReLU(),
        nn.Conv2d(channels, channels, 1, bias=False),
    )
    return nn.Sequential(OrderedDict(zip(names, layers, strict=True)))
