"""Channel attention (squeeze-and-excitation)."""

import torch
from torch import nn

from declouds.errors import UserError


class ChannelAttention(nn.Module):
    """Scale each channel by a gain in [0, 1], predicted from the channel means (Hu et al. 2018).

    Args:
        channels: channels of the input.
        reduction: the bottleneck has ``channels // reduction`` channels.
        bias: use biases.

    Shapes: (B, C, H, W) -> the same.

    Raises:
        UserError: ``channels`` is less than ``reduction``.
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
