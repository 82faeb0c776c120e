"""MSDA-CR, the second reference of Diffusion Enhancement."""

import torch
import torch.nn.functional as F
from torch import nn

from declouds.errors import UserError
from declouds.layers.distortion_aware_block import DistortionAwareBlock
from declouds.layers.padding import pad_to_multiple
from declouds.registry import REFERENCES

ROWS = 3  # full, 1/2 and 1/4 size
DILATIONS = (1, 2, 4, 8, 16, 1)


class Shrink(nn.Module):
    """Halve the size, rounding up, and double the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(channels, 2 * channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shapes: (B, C, H, W) -> (B, 2C, ceil(H/2), ceil(W/2))."""
        return F.relu(self.conv2(F.relu(self.conv1(x))))


class Enlarge(nn.Module):
    """Double the size, up to a pixel, to that of ``like``, and halve the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.deconv = nn.ConvTranspose2d(channels, channels, 3, stride=2, padding=1)
        self.conv = nn.Conv2d(channels, channels // 2, 3, padding=1)

    def forward(self, x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """Shapes: x (B, C, h, w), like (B, C/2, H, W) -> (B, C/2, H, W)."""
        return F.relu(self.conv(F.relu(self.deconv(x, output_size=like.shape[-2:]))))


def mix(weights: torch.Tensor, across: torch.Tensor, along: torch.Tensor) -> torch.Tensor:
    """Add two feature maps, each with one learned weight per channel.

    Shapes: weights (2, at least C), across and along (B, C, H, W) -> (B, C, H, W).
    """
    first, second = weights[:, : across.shape[1], None, None]
    return first * across + second * along


@REFERENCES.register_module()
class MSDA(nn.Module):
    """Multiscale distortion-aware cloud removal, MSDA-CR (Yu, Zhang & Pun, IEEE GRSL 2022).

    A grid of distortion-aware blocks, three scales by ``columns``: features are downsampled in the left half of the
    columns and upsampled in the right half. Dilated convolutions at 1/4 then add context, which is upsampled to full
    size. The defaults are the network of Diffusion Enhancement's authors, without the 1.00 M of their 3.91 M parameters
    that do not affect the output.

    Args:
        bands: bands of the image.
        features: channels at full size, doubled at each downsampling.
        columns: columns of the grid, an even number, at least 4.
        layers: dense layers per block.
        growth: channels that each dense layer adds.

    Shapes: cloudy (B, bands, H, W) -> prior (B, bands, H, W), any H and W.
    Units: [-1, 1].

    Raises:
        UserError: ``columns`` is odd or less than 4, or ``features`` is less than 4.
    """

    def __init__(
        self, bands: int = 3, features: int = 16, *, columns: int = 6, layers: int = 4, growth: int = 16
    ) -> None:
        super().__init__()
        if columns < 4 or columns % 2:
            raise UserError(f"MSDA: columns must be even and at least 4, got {columns}")
        self.columns, self.middle = columns, columns // 2
        widths = [features * 2**row for row in range(ROWS)]

        def block(row: int) -> DistortionAwareBlock:
            return DistortionAwareBlock(widths[row], layers, growth)

        self.conv_in = nn.Conv2d(bands, features, 3, padding=1)
        self.entry = block(0)
        # 'row_column': blocks by their input node, downs by their upper node, ups by their output node.
        self.blocks = nn.ModuleDict({f"{row}_{col}": block(row) for row in range(ROWS) for col in range(columns - 1)})
        self.downs = nn.ModuleDict(
            {f"{row}_{col}": Shrink(widths[row]) for row in range(ROWS - 1) for col in range(self.middle)}
        )
        self.ups = nn.ModuleDict(
            {f"{row}_{col}": Enlarge(widths[row + 1]) for row in range(ROWS - 1) for col in range(self.middle, columns)}
        )
        # Weights of the two maps merged at a node. Those of column 0, where nothing merges, serve after the grid.
        self.mixing = nn.Parameter(torch.ones(ROWS, columns, 2, widths[-1]))
        self.exit = block(0)

        self.context = nn.ModuleList([nn.Conv2d(widths[-1], widths[-1], 3, padding=d, dilation=d) for d in DILATIONS])
        self.context_ups = nn.ModuleDict({str(row): Enlarge(widths[row + 1]) for row in (0, 1)})
        self.context_blocks = nn.ModuleDict({str(row): block(row) for row in (0, 1)})
        self.conv_out = nn.Conv2d(features, bands, 3, padding=1)

    def forward(self, cloudy: torch.Tensor) -> torch.Tensor:
        """Return the restored image."""
        height, width = cloudy.shape[-2:]
        image = (cloudy + 1) / 2
        # Instance norm needs more than one pixel at 1/4; and the weight gradient of a strided convolution over images
        # one pixel wide is uninitialised memory in bfloat16 (torch 2.15 on CPU).
        if min(height, width) <= 4:
            image = pad_to_multiple(image, 8)
        full, half, quarter = self._grid(self.entry(self.conv_in(image)))
        full = self.exit(full)
        context = quarter
        for conv in self.context:
            context = F.relu(conv(context))
        for row, features in ((1, half), (0, full)):
            context = self.context_ups[str(row)](context, features)
            # Both sets of weights are stored one after the other in the first slot.
            weights = self.mixing[row, 0, 0, : 2 * features.shape[1]].unflatten(0, (2, -1))
            context = self.context_blocks[str(row)](mix(weights, features, context))
        restored = torch.sigmoid(self.conv_out(context).float())
        return 2 * restored[..., :height, :width] - 1

    def _grid(self, features: torch.Tensor) -> list[torch.Tensor]:
        """Run the grid column by column and return the last column: features at full, 1/2 and 1/4 size."""
        nodes = [features]
        for row in range(1, ROWS):
            nodes.append(self.downs[f"{row - 1}_0"](nodes[-1]))
        for column in range(1, self.columns):
            downward = column < self.middle
            nodes = [self.blocks[f"{row}_{column - 1}"](node) for row, node in enumerate(nodes)]
            for row in range(1, ROWS) if downward else reversed(range(ROWS - 1)):
                if downward:
                    branch = self.downs[f"{row - 1}_{column}"](nodes[row - 1])
                else:
                    branch = self.ups[f"{row}_{column}"](nodes[row + 1], nodes[row])
                nodes[row] = mix(self.mixing[row, column], nodes[row], branch)
        return nodes
