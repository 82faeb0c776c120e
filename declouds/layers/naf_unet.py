"""NAFNet's U-Net of gated blocks, conditioned on the timestep if asked to."""

from collections.abc import Sequence

import torch
from torch import nn

from declouds.errors import UserError
from declouds.layers.padding import pad_to_multiple


class LayerNorm2d(nn.Module):
    """Layer normalisation over the channels of each pixel. Shapes: (B, C, H, W) -> the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=1e-6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the normalised ``x``."""
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def simple_gate(x: torch.Tensor) -> torch.Tensor:
    """Multiply the two halves of the channels (equation 4). Shapes: (B, 2C, H, W) -> (B, C, H, W)."""
    first, second = x.chunk(2, dim=1)
    return first * second


class NAFBlock(nn.Module):
    """A gated convolution with channel attention, then a gated pointwise network, both residual (figure 3d).

    Both branches are scaled by factors initialised to 0, so a new block is the identity. With an embedding of the
    timestep both norms are scaled and shifted by it (Luo et al. 2023, Refusion, arXiv 2304.08291, figure 3).

    Shapes: x (B, C, H, W), embedding (B, E) -> (B, C, H, W).
    """

    def __init__(self, channels: int, embedding: int = 0, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm1 = LayerNorm2d(channels)
        self.spread1 = nn.Conv2d(channels, 2 * channels, 1)
        self.depthwise = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels)
        self.attention = nn.Conv2d(channels, channels, 1)
        self.gather1 = nn.Conv2d(channels, channels, 1)
        self.scale1 = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.norm2 = LayerNorm2d(channels)
        self.spread2 = nn.Conv2d(channels, 2 * channels, 1)
        self.gather2 = nn.Conv2d(channels, channels, 1)
        self.scale2 = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.dropout = nn.Dropout2d(dropout)
        if embedding:
            self.time_projection = nn.Linear(embedding, 4 * channels)

    def forward(self, x: torch.Tensor, embedding: torch.Tensor | None = None) -> torch.Tensor:
        """Return ``x`` plus both branches."""
        first, second = self.norm1, self.norm2
        if embedding is None:
            hidden = first(x)
        else:
            scale1, shift1, scale2, shift2 = self.time_projection(embedding)[..., None, None].chunk(4, dim=1)
            hidden = first(x) * (1 + scale1) + shift1
        hidden = simple_gate(self.depthwise(self.spread1(hidden)))
        hidden = hidden * self.attention(hidden.mean(dim=(2, 3), keepdim=True))  # equation 6: (B, C, 1, 1)
        x = x + self.scale1 * self.dropout(self.gather1(hidden))
        hidden = second(x) if embedding is None else second(x) * (1 + scale2) + shift2
        return x + self.scale2 * self.dropout(self.gather2(simple_gate(self.spread2(hidden))))


class NAFBlocks(nn.ModuleList):
    """A sequence of blocks. Shapes: as `NAFBlock`."""

    def forward(self, x: torch.Tensor, embedding: torch.Tensor | None = None) -> torch.Tensor:
        """Return the output of the last block."""
        for block in self:
            x = block(x, embedding)
        return x


class NAFUNet(nn.Module):
    """A U-Net of gated blocks (Chen et al., ECCV 2022, arXiv 2204.04676, section 3).

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        width: channels at full size, doubled at each downsampling.
        encoder_blocks: blocks of each encoder level.
        middle_blocks: blocks at the coarsest level.
        decoder_blocks: blocks of each decoder level, coarsest first.
        embedding: channels of the embedding of the timestep, 0 for none.
        dropout: share of channels dropped in each branch while training.
        patch: pixels a side that are folded into channels before the first level and unfolded after the last (Shi et
            al. 2016, arXiv 1609.05158): with 2, a network of the same width costs a quarter and sees twice as far.

    Shapes: x (B, in_channels, H, W), embedding (B, E) -> (B, out_channels, H, W), any H and W (padded inside).

    Raises:
        UserError: encoder and decoder differ in number of levels, or ``patch`` is below 1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        width: int,
        encoder_blocks: Sequence[int],
        middle_blocks: int,
        decoder_blocks: Sequence[int],
        embedding: int = 0,
        dropout: float = 0.0,
        patch: int = 1,
    ) -> None:
        super().__init__()
        if not isinstance(patch, int) or patch < 1:
            raise UserError(f"NAFNet: patch = {patch}: give a number of pixels, at least 1")
        if len(encoder_blocks) != len(decoder_blocks):
            raise UserError(
                f"NAFNet: encoder_blocks and decoder_blocks must have the same length, got {len(encoder_blocks)} and "
                f"{len(decoder_blocks)}"
            )

        def blocks(channels: int, count: int) -> NAFBlocks:
            return NAFBlocks([NAFBlock(channels, embedding, dropout) for _ in range(count)])

        levels = len(encoder_blocks)
        self.patch, self.multiple = patch, patch * 2**levels
        self.fold, self.unfold = nn.PixelUnshuffle(patch), nn.PixelShuffle(patch)
        channels = [width * 2**level for level in range(levels)]
        self.first = nn.Conv2d(patch**2 * in_channels, width, 3, padding=1)
        self.encoder = nn.ModuleList(map(blocks, channels, encoder_blocks))
        self.downs = nn.ModuleList(nn.Conv2d(count, 2 * count, 2, stride=2) for count in channels)
        self.middle = blocks(width * 2**levels, middle_blocks)
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(2 * count, 4 * count, 1, bias=False), nn.PixelShuffle(2))
            for count in reversed(channels)
        )
        self.decoder = nn.ModuleList(map(blocks, reversed(channels), decoder_blocks))
        self.last = nn.Conv2d(width, patch**2 * out_channels, 3, padding=1)
        # The norms are over channels and half of the convolutions pointwise: on a CPU a training step takes 0.7 of the
        # time with channels last.
        self.to(memory_format=torch.channels_last)

    def forward(self, x: torch.Tensor, embedding: torch.Tensor | None = None) -> torch.Tensor:
        """Return the output of the last convolution."""
        height, width = x.shape[-2:]
        folded = self.fold(pad_to_multiple(x, self.multiple))
        hidden, skips = self.encode(folded.contiguous(memory_format=torch.channels_last), embedding)
        hidden = self.middle(hidden, embedding)
        for up, blocks in zip(self.ups, self.decoder, strict=True):
            hidden = blocks(up(hidden) + skips.pop(), embedding)
        return self.unfold(self.last(hidden))[..., :height, :width]

    def encode(self, x: torch.Tensor, embedding: torch.Tensor | None) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return what the middle is given, and the output of each encoder level."""
        hidden, skips = self.first(x), []
        for blocks, down in zip(self.encoder, self.downs, strict=True):
            hidden = blocks(hidden, embedding)
            skips.append(hidden)
            hidden = down(hidden)
        return hidden, skips
