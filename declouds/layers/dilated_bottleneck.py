"""The branch of the residual blocks of SpA-GAN and AMGAN-CR."""

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn


def dilated_bottleneck(channels: int, names: Sequence[str] = ("0", "1", "2", "3", "4")) -> nn.Sequential:
    """Return a dilated convolution between two of one pixel, with ReLUs between: what a block adds to its input.

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
