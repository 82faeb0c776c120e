"""NAFNet, a restoration network without activation functions."""

from collections.abc import Sequence

import torch
from torch import nn

from declouds.errors import UserError
from declouds.layers.input_bands import input_bands
from declouds.layers.padding import pad_to_multiple
from declouds.registry import REFERENCES


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

    Both branches are scaled by factors initialised to 0, so a new block is the identity.

    Shapes: (B, C, H, W) -> the same.
    """

    def __init__(self, channels: int) -> None:
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

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``x`` plus both branches."""
        hidden = simple_gate(self.depthwise(self.spread1(self.norm1(x))))
        hidden = hidden * self.attention(hidden.mean(dim=(2, 3), keepdim=True))  # equation 6: (B, C, 1, 1)
        x = x + self.scale1 * self.gather1(hidden)
        return x + self.scale2 * self.gather2(simple_gate(self.spread2(self.norm2(x))))


def naf_blocks(channels: int, count: int) -> nn.Sequential:
    """Return a sequence of ``count`` blocks."""
    return nn.Sequential(*[NAFBlock(channels) for _ in range(count)])


@REFERENCES.register_module()
class NAFNet(nn.Module):
    """Nonlinear activation free network (Chen et al., ECCV 2022, arXiv 2204.04676) as one-pass cloud removal.

    A U-Net of gated blocks that adds a correction to the cloudy image. The defaults are the published network of width
    32 with 36 blocks: 17.11 M parameters for 3 bands; ``width=64`` is the second published size, 67.89 M.

    Args:
        bands: bands of the prior.
        in_bands: bands of the cloudy image, the first ``bands`` of which are corrected; ``bands`` if not given.
        width: channels at full size, doubled at each downsampling.
        encoder_blocks: blocks of each encoder level.
        middle_blocks: blocks at the coarsest level.
        decoder_blocks: blocks of each decoder level, coarsest first.

    Shapes: cloudy (B, in_bands, H, W) -> prior (B, bands, H, W), any H and W (padded inside).
    Units: [-1, 1].

    Raises:
        UserError: encoder and decoder differ in number of levels, or ``in_bands`` is less than ``bands``.
    """

    def __init__(
        self,
        bands: int = 3,
        in_bands: int | None = None,
        *,
        width: int = 32,
        encoder_blocks: Sequence[int] = (1, 1, 1, 28),
        middle_blocks: int = 1,
        decoder_blocks: Sequence[int] = (1, 1, 1, 1),
    ) -> None:
        super().__init__()
        if len(encoder_blocks) != len(decoder_blocks):
            raise UserError(
                f"NAFNet: encoder_blocks and decoder_blocks must have the same length, got {len(encoder_blocks)} and "
                f"{len(decoder_blocks)}"
            )
        self.bands = bands
        self.multiple = 2 ** len(encoder_blocks)
        channels = [width * 2**level for level in range(len(encoder_blocks))]
        self.first = nn.Conv2d(input_bands("NAFNet", bands, in_bands), width, 3, padding=1)
        self.encoder = nn.ModuleList(map(naf_blocks, channels, encoder_blocks))
        self.downs = nn.ModuleList(nn.Conv2d(count, 2 * count, 2, stride=2) for count in channels)
        self.middle = naf_blocks(width * self.multiple, middle_blocks)
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(2 * count, 4 * count, 1, bias=False), nn.PixelShuffle(2))
            for count in reversed(channels)
        )
        self.decoder = nn.ModuleList(map(naf_blocks, reversed(channels), decoder_blocks))
        self.last = nn.Conv2d(width, bands, 3, padding=1)

    def forward(self, cloudy: torch.Tensor) -> torch.Tensor:
        """Return the prior, clamped to [-1, 1]."""
        return self._restoration(cloudy).clamp(-1, 1)

    def training_outputs(self, cloudy: torch.Tensor, clear: torch.Tensor) -> dict[str, list[torch.Tensor]]:
        """Return the unclamped estimate, so that the loss has a gradient outside [-1, 1] too."""
        return dict(restorations=[self._restoration(cloudy)])

    def _restoration(self, cloudy: torch.Tensor) -> torch.Tensor:
        height, width = cloudy.shape[-2:]
        hidden = self.first(pad_to_multiple(cloudy, self.multiple))
        skips = []
        for blocks, down in zip(self.encoder, self.downs, strict=True):
            hidden = blocks(hidden)
            skips.append(hidden)
            hidden = down(hidden)
        hidden = self.middle(hidden)
        for up, blocks in zip(self.ups, self.decoder, strict=True):
            hidden = blocks(up(hidden) + skips.pop())
        return cloudy[:, : self.bands] + self.last(hidden)[..., :height, :width].float()
