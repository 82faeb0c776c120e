"""Channel attention: a gain for each channel, from the means of all."""

import torch
from torch import nn

from declouds.errors import UserError


class ChannelAttention(nn.Module):
    """Scale each channel by a gain in 0..1, worked out from the mean of every channel (Hu et al. 2018).

    Args:
        channels: channels of the input.
        reduction: the two 1x1 convolutions meet at ``channels // reduction`` channels.
        bias: give these convolutions a bias.

    Shapes: (B, C, H, W) -> the same.

    Raises:
        UserError: fewer channels than ``reduction``.
    """

    def __init__(self, channels: int, reduction: int, *, bias: bool) -> None:
        super().__init__()
        if channels < reduction:
            raise UserError(f"channel attention cannot reduce {channels} channels by {reduction}: use more features")
        self.reduce = nn.Conv2d(channels, channels // reduction, 1, bias=bias)
        self.expand = nn.Conv2d(channels // reduction, channels, 1, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``x`` times the gains."""
        mean = x.mean(dim=(2, 3), keepdim=True)  # (B, C, 1, 1)
        return x * torch.sigmoid(self.expand(torch.relu(self.reduce(mean))))
