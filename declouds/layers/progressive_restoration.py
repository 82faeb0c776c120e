"""Multi-stage progressive restoration, the common part of MPRNet and MemoryNet."""

from collections.abc import Sequence

import torch
from torch import nn

from declouds.layers.channel_attention_unet import (
    AttentionBlock,
    CrossStage,
    Decoder,
    Encoder,
    Pyramid,
    attention_blocks,
    conv,
)
from declouds.layers.padding import pad_to_multiple


class SupervisedAttention(nn.Module):
    """Restore the image from a stage's features, and gate the features for the next stage by it (SAM)."""

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
    """Three residual groups at full resolution, each adding one level of the second stage's features (ORSNet)."""

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
    """Split ``x`` in two along ``dim`` and concatenate the halves in the batch."""
    return torch.cat(x.chunk(2, dim), 0)


def join(x: torch.Tensor, dim: int) -> torch.Tensor:
    """Undo ``split``."""
    return torch.cat(x.chunk(2, 0), dim)


class ProgressiveRestoration(nn.Module):
    """MPRNet's three stages on larger and larger parts of the image (Zamir et al., CVPR 2021, arXiv 2102.02808).

    Stage 1 works on the four quadrants of its image, stage 2 on the upper and lower half of its own, stage 3 on the
    whole of a third at full resolution; each adds a residual to its image. `stage_images` returns the three images.

    Args:
        bands: bands of the image.
        features: channels of stages 1 and 2 at full size.
        level_step: channels added at 1/2, and again at 1/4.
        full_step: extra channels of stage 3.
        full_blocks: attention blocks in each of the three groups of stage 3.
        reduction: reduction of the channel attention.

    Shapes: cloudy (B, bands, H, W) -> prior (B, bands, H, W), any H and W (padded to multiples of 8 inside).
    Units: [-1, 1].

    Raises:
        UserError: ``features`` is less than ``reduction``.
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

    def stage_images(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the images of stages 1, 2 and 3, in [0, 1] like ``image``."""
        return image, image, image

    def forward(self, cloudy: torch.Tensor) -> torch.Tensor:
        """Return the restoration of the last stage, clamped to [-1, 1]."""
        return self._restorations(cloudy)[0].clamp(-1, 1)

    def training_outputs(self, cloudy: torch.Tensor, clear: torch.Tensor) -> dict[str, list[torch.Tensor]]:
        """Return the unclamped restorations of stages 3, 2 and 1, in this order: each is supervised."""
        return dict(restorations=self._restorations(cloudy))

    def _restorations(self, cloudy: torch.Tensor) -> list[torch.Tensor]:
        height, width = cloudy.shape[-2:]
        # Multiples of 8, since the halves are downsampled twice.
        first, second, third = self.stage_images(pad_to_multiple((cloudy + 1) / 2, 8))
        quadrants = split(split(first, 2), 3)  # (4B, C, H/2, W/2)
        halves = split(second, 2)  # (2B, C, H/2, W)

        encoded = [join(x, 3) for x in self.encoders[0](self.shallow[0](quadrants))]
        decoded = self.decoders[0](encoded)
        features, restored1 = self.supervisions[0](decoded[0], halves)

        x = self.joins[0](torch.cat([self.shallow[1](halves), features], 1))
        encoded = [join(x, 2) for x in self.encoders[1](x, encoded, decoded)]
        decoded = self.decoders[1](encoded)
        features, restored2 = self.supervisions[1](decoded[0], third)

        x = self.joins[1](torch.cat([self.shallow[2](third), features], 1))
        restored3 = third + self.tail(self.full_resolution(x, encoded, decoded))
        return [2 * restored[..., :height, :width] - 1 for restored in (restored3, restored2, join(restored1, 2))]
