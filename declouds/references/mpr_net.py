"""MPRNet, the reference that is released with Diffusion Enhancement under the name MemoryNet."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from declouds.layers.channel_attention import ChannelAttention
from declouds.layers.padding import pad_to_multiple
from declouds.registry import REFERENCES

Pyramid = list[torch.Tensor]  # features at full, half and quarter size


def conv(in_channels: int, out_channels: int, kernel: int) -> nn.Conv2d:
    """Return a convolution that keeps the size; MPRNet has no biases."""
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
    """Return ``count`` attention blocks in a row."""
    return nn.Sequential(*[AttentionBlock(channels, reduction) for _ in range(count)])


class Shrink(nn.Module):
    """Halve the size bilinearly, which for even sizes is the mean of each 2x2, then change the channels."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = conv(in_channels, out_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shapes: (B, in, H, W) -> (B, out, H/2, W/2)."""
        return self.conv(F.avg_pool2d(x, 2))


class Enlarge(nn.Module):
    """Change the channels, then double the size bilinearly: the two commute, and this order costs a quarter."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = conv(in_channels, out_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shapes: (B, in, H, W) -> (B, out, 2H, 2W)."""
        return F.interpolate(self.conv(x), scale_factor=2, mode="bilinear", align_corners=False)


class CrossStage(nn.Module):
    """Bring one level of the previous stage's features to the size and channels of a place in the next stage (CSFF).

    Args:
        channels: channels of the level, then of each level above it that the features pass on their way up.
        width: channels of the place they go to.
    """

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.from_encoder = self._path(channels, width)
        self.from_decoder = self._path(channels, width)

    @staticmethod
    def _path(channels: Sequence[int], width: int) -> nn.Sequential:
        return nn.Sequential(*[Enlarge(*pair) for pair in pairwise(channels)], conv(channels[-1], width, 1))

    def forward(self, encoded: torch.Tensor, decoded: torch.Tensor) -> torch.Tensor:
        """Return what the next stage adds to its own features."""
        return self.from_encoder(encoded) + self.from_decoder(decoded)


class Encoder(nn.Module):
    """Attention blocks at three sizes; with ``cross_stage`` each takes in the features of the stage before."""

    def __init__(self, channels: Sequence[int], reduction: int, *, cross_stage: bool) -> None:
        super().__init__()
        self.levels = nn.ModuleList([attention_blocks(width, reduction, 2) for width in channels])
        self.downs = nn.ModuleList([Shrink(*pair) for pair in pairwise(channels)])
        self.cross = nn.ModuleList([CrossStage([width], width) for width in channels if cross_stage])

    def forward(self, x: torch.Tensor, encoded: Pyramid | None = None, decoded: Pyramid | None = None) -> Pyramid:
        """Return the features of every level; ``encoded`` and ``decoded`` are those of the stage before."""
        features: Pyramid = []
        for index, level in enumerate(self.levels):
            x = level(self.downs[index - 1](x) if index else x)
            if encoded is not None and decoded is not None:
                x = x + self.cross[index](encoded[index], decoded[index])
            features.append(x)
        return features


class Decoder(nn.Module):
    """Attention blocks at three sizes, smallest first, with an attention block on each skip connection."""

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


class SupervisedAttention(nn.Module):
    """Restore the image from the features of a stage, and let it gate what the next stage gets (SAM)."""

    def __init__(self, features: int, bands: int) -> None:
        super().__init__()
        self.features = conv(features, features, 1)
        self.residual = conv(features, bands, 1)
        self.gate = conv(bands, features, 1)

    def forward(self, x: torch.Tensor, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the gated features and the restored image."""
        restored = image + self.residual(x)
        return x + self.features(x) * torch.sigmoid(self.gate(restored)), restored


class FullResolution(nn.Module):
    """Three residual groups at full size, each followed by one level of the second stage's features (ORSNet)."""

    def __init__(self, channels: Sequence[int], width: int, blocks: int, reduction: int) -> None:
        super().__init__()
        self.groups = nn.ModuleList(
            [nn.Sequential(*attention_blocks(width, reduction, blocks), conv(width, width, 3)) for _ in channels]
        )
        self.cross = nn.ModuleList([CrossStage(channels[level::-1], width) for level in range(len(channels))])

    def forward(self, x: torch.Tensor, encoded: Pyramid, decoded: Pyramid) -> torch.Tensor:
        """Shapes: (B, width, H, W) -> the same."""
        for group, cross, *level in zip(self.groups, self.cross, encoded, decoded, strict=True):
            x = x + group(x) + cross(*level)
        return x


def split(x: torch.Tensor, dim: int) -> torch.Tensor:
    """Cut ``x`` in two along ``dim`` and put the halves after each other in the batch."""
    return torch.cat(x.chunk(2, dim), 0)


def join(x: torch.Tensor, dim: int) -> torch.Tensor:
    """Undo ``split``."""
    return torch.cat(x.chunk(2, 0), dim)


@REFERENCES.register_module()
class MPRNet(nn.Module):
    """Multi-stage progressive restoration (Zamir et al., CVPR 2021, arXiv 2102.02808) as one-pass cloud removal.

    Stage 1 sees the four quarters of the image, stage 2 its upper and lower half, stage 3 the whole at full size. The
    defaults are the network of Diffusion Enhancement's authors: 3.64 M parameters for 3 bands. Theirs shares one PReLU
    slope among all blocks; here each block has its own.

    Args:
        bands: bands of the image.
        features: channels of stages 1 and 2 at full size.
        level_step: channels added at half, and again at quarter size.
        full_step: channels that stage 3 has more than ``features``.
        full_blocks: attention blocks in each of the three groups of stage 3.
        reduction: reduction of the channel attention.

    Shapes: cloudy (B, bands, H, W) -> prior (B, bands, H, W), any H and W (padded to multiples of 8 inside).
    Units: [-1, 1].

    Raises:
        UserError: fewer ``features`` than ``reduction``.
    """

    def __init__(
        self,
        bands: int = 3,
        features: int = 40,
        *,
        level_step: int = 20,
        full_step: int = 16,
        full_blocks: int = 8,
        reduction: int = 4,
    ) -> None:
        super().__init__()
        channels = [features + level * level_step for level in range(3)]
        full = features + full_step
        self.shallow = nn.ModuleList(
            [nn.Sequential(conv(bands, features, 3), AttentionBlock(features, reduction)) for _ in range(3)]
        )
        self.encoders = nn.ModuleList([Encoder(channels, reduction, cross_stage=stage > 0) for stage in range(2)])
        self.decoders = nn.ModuleList([Decoder(channels, reduction) for _ in range(2)])
        self.supervisions = nn.ModuleList([SupervisedAttention(features, bands) for _ in range(2)])
        self.joins = nn.ModuleList([conv(2 * features, features, 3), conv(2 * features, full, 3)])
        self.full_resolution = FullResolution(channels, full, full_blocks, reduction)
        self.tail = conv(full, bands, 3)

    def forward(self, cloudy: torch.Tensor) -> torch.Tensor:
        """Return the restoration of the last stage, clamped."""
        return self._restorations(cloudy)[0].clamp(-1, 1)

    def training_outputs(self, cloudy: torch.Tensor, clear: torch.Tensor) -> dict[str, list[torch.Tensor]]:
        """Return what stages 3, 2 and 1 restore, in this order, not clamped: each is supervised."""
        return dict(restorations=self._restorations(cloudy))

    def _restorations(self, cloudy: torch.Tensor) -> list[torch.Tensor]:
        height, width = cloudy.shape[-2:]
        image = pad_to_multiple((cloudy + 1) / 2, 8)  # the halves are halved twice more
        halves = split(image, 2)  # (2B, C, H/2, W)
        quarters = split(halves, 3)  # (4B, C, H/2, W/2)

        encoded = [join(x, 3) for x in self.encoders[0](self.shallow[0](quarters))]
        decoded = self.decoders[0](encoded)
        features, restored1 = self.supervisions[0](decoded[0], halves)

        x = self.joins[0](torch.cat([self.shallow[1](halves), features], 1))
        encoded = [join(x, 2) for x in self.encoders[1](x, encoded, decoded)]
        decoded = self.decoders[1](encoded)
        features, restored2 = self.supervisions[1](decoded[0], image)

        x = self.joins[1](torch.cat([self.shallow[2](image), features], 1))
        restored3 = image + self.tail(self.full_resolution(x, encoded, decoded))
        return [2 * restored[..., :height, :width] - 1 for restored in (restored3, restored2, join(restored1, 2))]
