"""A U-Net that attends over the dates of a place."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from declouds.errors import UserError
from declouds.layers.input_bands import input_bands
from declouds.layers.input_dates import THERE, Channels, input_dates
from declouds.layers.naf_unet import LayerNorm2d, NAFBlock, NAFBlocks
from declouds.layers.padding import pad_to_multiple
from declouds.layers.unet import time_embedding, zero_init
from declouds.registry import REFERENCES
from declouds.sources import FILL, MISSING, PRESENT, Source, channels_of

PERIOD = 1000.0  # days, the longest of the encoding of days


class DateScores(nn.Module):
    """How well each date answers a learned query, per pixel and head: L-TAE (Garnot et al. 2020, arXiv 2007.00586).

    Shapes: features (B, T, C, h, w), days (T, C) -> (B, T, heads, h, w).
    """

    def __init__(self, channels: int, heads: int, key: int) -> None:
        super().__init__()
        self.norm = LayerNorm2d(channels)
        self.keys = nn.Conv2d(channels, heads * key, 1)
        self.query = nn.Parameter(torch.randn(heads, key))

    def forward(self, features: torch.Tensor, days: torch.Tensor) -> torch.Tensor:
        """Return query times key over the square root of their length."""
        batch, (heads, key) = len(features), self.query.shape
        dated = self.norm(features.flatten(0, 1)).unflatten(0, (batch, -1)) + days[None, :, :, None, None]
        keys = self.keys(dated.flatten(0, 1)).unflatten(1, (heads, key)).unflatten(0, (batch, -1))
        return (keys * self.query[..., None, None]).sum(3) / key**0.5


def attend(features: torch.Tensor, scores: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
    """Return the mean of the dates by their scores, each head for its group of channels; dates without data are out.

    The scores are enlarged, not the weights as in U-TAE, so that pixels without data have no weight at any scale.

    Shapes: features (B, T, C, H, W), scores (B, T, heads, h, w), there (B, T, 1, H, W) bool -> (B, C, H, W).
    """
    dates, heads = scores.shape[1:3]
    enlarged = F.interpolate(scores.flatten(1, 2), features.shape[-2:], mode="bilinear", align_corners=False)
    weight = enlarged.unflatten(1, (dates, heads)).masked_fill(~there, -torch.inf).softmax(1)
    return (weight.unsqueeze(3) * features.unflatten(2, (heads, -1))).sum(1).flatten(1, 2)


class DateChoice(nn.Module):
    """What to add to the image so that other dates replace it, weighed by attention per pixel; nothing at first.

    Shapes: hidden (B, C, H, W), features (B, T, C, H, W), images (B, T, bands, H, W) and there (B, T, 1, H, W) bool of
    the cloudy image and the dates after it -> (B, bands, H, W).
    """

    def __init__(self, channels: int, key: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, key, 1)
        self.keys = nn.Conv2d(channels, key, 1)
        self.share = zero_init(nn.Conv2d(channels, 1, 3, padding=1))

    def forward(
        self, hidden: torch.Tensor, features: torch.Tensor, images: torch.Tensor, there: torch.Tensor
    ) -> torch.Tensor:
        """Return the share of the image that is replaced, times what the mean of the dates differs from it by."""
        keys = self.keys(features[:, 1:].flatten(0, 1)).unflatten(0, (len(hidden), -1))
        scores = (self.query(hidden).unsqueeze(1) * keys).sum(2, keepdim=True).float() / keys.shape[2] ** 0.5
        weight = scores.masked_fill(~there[:, 1:], torch.finfo(scores.dtype).min).softmax(1) * there[:, 1:]
        return self.share(hidden).float() * (weight * (images[:, 1:] - images[:, :1])).sum(1)


@REFERENCES.register_module()
class TemporalUNet(nn.Module):
    """A U-Net over several dates: one encoder for all, attention over dates at every scale, one decoder.

    As U-TAE (Garnot and Landrieu, ICCV 2021, arXiv 2107.07933, section 3) and UnCRtainTS (Ebel et al. 2023, arXiv
    2304.05464): every date, the cloudy image among them, passes the same encoder. At the coarsest level a learned query
    scores the dates per pixel and head; the same scores, enlarged, weigh them at every level, each head its group of
    channels. Blocks are NAFNet's.

    The decoder ends in a correction of the cloudy image, which starts as none, and beyond U-TAE in a second attention
    at full size, by which the dates replace the image (`DateChoice`): ground that another date shows need not be
    painted from features.

    Days, where the sources have them, are encoded as sines and cosines and added to what the scores are made of.
    Dates that are missing, as a whole or at single pixels, have no weight there. All further sources but the dates,
    such as radar, are concatenated to the image.

    Args:
        bands: bands of the prior.
        in_bands: bands of the input, the first ``bands`` of which are the image; ``bands`` if not given.
        inputs: the sources of the input, see `input_dates`.
        dates: how many dates there have to be, of which the first so many are used; all, or none, if not given.
        width: channels at full size, doubled at each downsampling.
        blocks: blocks of each level, finest first; the last one is the coarsest.
        heads: of the attention, a divisor of ``width``.
        key: length of query and keys.

    Shapes: cloudy (B, in_bands, H, W) -> prior (B, bands, H, W), any H and W (padded inside).
    Units: [-1, 1].

    Raises:
        UserError: ``in_bands`` is less than ``bands``, there are fewer dates, ``heads`` does not divide ``width``,
            ``key`` is below 1, or there is no level.
    """

    days: torch.Tensor

    def __init__(
        self,
        bands: int = 3,
        in_bands: int | None = None,
        inputs: Sequence[Source] | None = None,
        *,
        dates: int | None = None,
        width: int = 32,
        blocks: Sequence[int] = (1, 1, 1, 2),
        heads: int = 16,
        key: int = 4,
    ) -> None:
        super().__init__()
        in_bands = input_bands("TemporalUNet", bands, in_bands)
        if heads < 1 or width % heads:
            raise UserError(f"TemporalUNet: heads = {heads}: give a divisor of width = {width}")
        if key < 1 or not blocks:
            raise UserError(
                f"TemporalUNet: key = {key}, blocks = {tuple(blocks)}: give 1 or more, and one level or more"
            )
        inputs, found = input_dates("TemporalUNet", bands, in_bands, inputs, dates)
        slices = channels_of(inputs)
        self.bands = bands
        self.dates = [Channels.of(source, slices[source.name]) for source in found]
        used = {channel for source in found for channel in range(in_bands)[slices[source.name]]}
        self.others = [channel for channel in range(bands, in_bands) if channel not in used]

        channels = [width * 2**level for level in range(len(blocks))]
        self.first = nn.Conv2d(bands + len(self.others) + 1, width, 3, padding=1)
        self.encoder = nn.ModuleList(_blocks(*level) for level in zip(channels, blocks, strict=True))
        self.downs = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in pairwise(channels))
        self.scores = DateScores(channels[-1], heads, key)
        self.middle = _blocks(channels[-1], blocks[-1])
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(coarse, 4 * fine, 1), nn.PixelShuffle(2)) for fine, coarse in pairwise(channels)
        )
        self.decoder = nn.ModuleList(_blocks(*level) for level in zip(channels[:-1], blocks[:-1], strict=True))
        self.last = zero_init(nn.Conv2d(width, bands, 3, padding=1))
        self.choice = DateChoice(width, key) if self.dates else None
        days = [0.0, *(float("nan") if source.days is None else source.days for source in found)]
        encoded = time_embedding(torch.tensor(days), channels[-1], PERIOD).nan_to_num(0)  # of unknown days: nothing
        self.register_buffer("days", encoded, persistent=False)

    def forward(self, cloudy: torch.Tensor) -> torch.Tensor:
        """Return the prior, clamped to [-1, 1]."""
        return self._restoration(cloudy).clamp(-1, 1)

    def training_outputs(self, cloudy: torch.Tensor, clear: torch.Tensor) -> dict[str, list[torch.Tensor]]:
        """Return the unclamped estimate, so that the loss has a gradient outside [-1, 1] too."""
        return dict(restorations=[self._restoration(cloudy)])

    def _restoration(self, cloudy: torch.Tensor) -> torch.Tensor:
        height, width = cloudy.shape[-2:]
        frames, there = self._frames(pad_to_multiple(cloudy, 2 ** len(self.downs)))
        batch, levels = len(cloudy), []
        hidden = self.first(frames.flatten(0, 1))
        for index, blocks in enumerate(self.encoder):
            hidden = blocks(self.downs[index - 1](hidden) if index else hidden)
            levels.append(hidden.unflatten(0, (batch, -1)))  # (B, T, C, h, w)
        scores = self.scores(levels[-1], self.days)
        hidden = self.middle(attend(levels[-1], scores, _reduced(there, len(self.downs))))
        for index in reversed(range(len(self.downs))):
            skip = attend(levels[index], scores, _reduced(there, index))
            hidden = self.decoder[index](self.ups[index](hidden) + skip)
        restored = frames[:, 0, : self.bands] + self.last(hidden).float()
        if self.choice is not None:
            restored = restored + self.choice(hidden, levels[0], frames[:, :, : self.bands], there)
        return restored[..., :height, :width]

    def _frames(self, cloudy: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return image and dates, alike in channels: bands, other sources, which dates do not have, and a flag.

        Shapes: (B, in_bands, H, W) -> (B, T, C, H, W), and where each has data (B, T, 1, H, W) bool.
        """
        image, others = cloudy[:, : self.bands], cloudy[:, self.others]
        everywhere = torch.ones_like(image[:, :1], dtype=torch.bool)
        frames, there = [torch.cat([image, others, everywhere * PRESENT], 1)], [everywhere]
        for date in self.dates:
            seen = everywhere if date.flag is None else cloudy[:, date.flag, None] > THERE
            flag = torch.where(seen, PRESENT, MISSING)
            frames.append(torch.cat([cloudy[:, date.bands], torch.full_like(others, FILL), flag], 1))
            there.append(seen)
        return torch.stack(frames, 1), torch.stack(there, 1)


def _blocks(channels: int, count: int) -> NAFBlocks:
    return NAFBlocks(NAFBlock(channels) for _ in range(count))


def _reduced(there: torch.Tensor, halvings: int) -> torch.Tensor:
    """Return which pixels of a coarser level have any data. Shapes: (B, T, 1, H, W) bool -> (B, T, 1, h, w) bool."""
    return F.max_pool2d(there.flatten(0, 1).float(), 2**halvings).unflatten(0, there.shape[:2]) > 0
