"""NAFNet with an encoder of its own for radar: the two exchange features through gates."""

from collections.abc import Sequence

import torch
from torch import nn

from declouds.errors import UserError
from declouds.layers.input_bands import input_bands
from declouds.layers.naf_unet import NAFBlock, NAFBlocks
from declouds.references.naf_net import NAFNet
from declouds.registry import REFERENCES
from declouds.sources import Source, channels_of


class Exchange(nn.Module):
    """Each branch takes from the other what a gate lets through, which sees both.

    With gates (g, h) = sigmoid(conv([optical, radar])), pixel by pixel and channel by channel: first radar + g *
    conv(optical), then optical + known * h * conv(that), where ``known`` is the share of the pixel that has radar.

    Shapes: optical and radar (B, C, H, W), known (B, 1, H, W) in [0, 1] -> (B, C, H, W) twice.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gates = nn.Conv2d(2 * channels, 2 * channels, 1)
        self.to_optical = nn.Conv2d(channels, channels, 1)
        self.to_radar = nn.Conv2d(channels, channels, 1)

    def forward(
        self, optical: torch.Tensor, radar: torch.Tensor, known: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return both branches after the exchange."""
        to_radar, to_optical = self.gates(torch.cat([optical, radar], 1)).sigmoid().chunk(2, 1)
        radar = radar + to_radar * self.to_radar(optical)
        return optical + known * to_optical * self.to_optical(radar), radar


@REFERENCES.register_module()
class RadarNAFNet(NAFNet):
    """Two encoders, of image and radar, that exchange features at each level; one decoder corrects the image.

    Radar and image differ too much for one convolution to take both at once, and radar is to help under cloud alone: so
    each has its own encoder, and gates decide by both what passes, the idea of GLF-CR (Xu et al. 2022, arXiv
    2206.02850). The result is a correction of the image, as in DSen2-CR (Meraner et al. 2020). The blocks are NAFNet's
    (Chen et al. 2022, arXiv 2204.04676). This is none of the published networks: GLF-CR's attention between windows and
    its dynamic filters against speckle are not in it.

    Where the flag of the radar says that it is missing, nothing of it passes: without any radar this is `NAFNet`.

    Args:
        bands: bands of the prior.
        in_bands: channels of the input, the first ``bands`` of which are corrected; ``bands`` if not given.
        inputs: the sources of the input; the encoder for radar takes that of kind ``sar``, the other one all else. If
            not given, all channels after the image are radar without a flag.
        width: channels of both encoders at full size, doubled at each downsampling.
        encoder_blocks: blocks of each level of the encoder of the image.
        middle_blocks: blocks at the coarsest level.
        decoder_blocks: blocks of each decoder level, coarsest first.
        radar_blocks: blocks of each level of the encoder of the radar.

    Shapes: cloudy (B, in_bands, H, W) -> prior (B, bands, H, W), any H and W (padded inside).
    Units: [-1, 1].

    Raises:
        UserError: encoder and decoder differ in number of levels, ``in_bands`` is less than ``bands``, or there are
            several sources and not one of them is radar.
    """

    def __init__(
        self,
        bands: int = 3,
        in_bands: int | None = None,
        inputs: Sequence[Source] | None = None,
        *,
        width: int = 32,
        encoder_blocks: Sequence[int] = (1, 1, 1, 28),
        middle_blocks: int = 1,
        decoder_blocks: Sequence[int] = (1, 1, 1, 1),
        radar_blocks: int = 1,
    ) -> None:
        in_bands = input_bands("RadarNAFNet", bands, in_bands)
        radar, flagged = _radar_in(inputs, bands, in_bands)
        super().__init__(
            bands,
            in_bands - (radar.stop - radar.start),
            width=width,
            encoder_blocks=encoder_blocks,
            middle_blocks=middle_blocks,
            decoder_blocks=decoder_blocks,
        )
        self.radar, self.flagged = radar, flagged
        if radar.start < radar.stop:
            channels = [width * 2**level for level in range(len(encoder_blocks))]
            self.radar_first = nn.Conv2d(radar.stop - radar.start, width, 3, padding=1)
            self.radar_encoder = nn.ModuleList(
                NAFBlocks([NAFBlock(count) for _ in range(radar_blocks)]) for count in channels
            )
            self.radar_downs = nn.ModuleList(nn.Conv2d(count, 2 * count, 2, stride=2) for count in channels[:-1])
            self.exchanges = nn.ModuleList(map(Exchange, channels))
            self.to(memory_format=torch.channels_last)

    def encode(self, x: torch.Tensor, embedding: torch.Tensor | None) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return what the middle is given, and the image's features of each level after the exchange."""
        radar = x[:, self.radar]
        optical = torch.cat([x[:, : self.radar.start], x[:, self.radar.stop :]], 1)
        if not radar.shape[1]:
            return super().encode(optical, embedding)
        known = (radar[:, -1:] + 1) / 2 if self.flagged else torch.ones_like(radar[:, :1])
        hidden, beside, skips = self.first(optical), self.radar_first(radar), []
        levels = zip(self.encoder, self.radar_encoder, self.exchanges, strict=True)
        for level, (blocks, radar_blocks, exchange) in enumerate(levels):
            if level:
                hidden, beside = self.downs[level - 1](hidden), self.radar_downs[level - 1](beside)
                known = nn.functional.avg_pool2d(known, 2)
            hidden, beside = exchange(blocks(hidden, embedding), radar_blocks(beside), known)
            skips.append(hidden)
        return self.downs[-1](hidden), skips


def _radar_in(inputs: Sequence[Source] | None, bands: int, in_bands: int) -> tuple[slice, bool]:
    """Return the channels of the radar, and whether the last of them is a flag.

    Raises:
        UserError: there are further sources, and not one of them is radar.
    """
    if inputs is None or len(inputs) < 2:
        return slice(bands, in_bands), False
    found = [source for source in inputs if source.kind == "sar"]
    if len(found) != 1:
        raise UserError(
            f"RadarNAFNet: {len(found)} of the sources ({', '.join(source.name for source in inputs)}) are radar, and "
            "it takes one: give the data one, sources=dict(sar='s1'), or use the reference NAFNet"
        )
    return channels_of(inputs)[found[0].name], found[0].optional
