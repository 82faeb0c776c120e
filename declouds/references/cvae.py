"""CVAE: thin cloud removal by a conditional variational autoencoder, averaging several samples."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from declouds.errors import UserError
from declouds.layers.channel_attention import ChannelAttention
from declouds.layers.input_bands import input_bands
from declouds.layers.padding import pad_to_multiple
from declouds.registry import REFERENCES

PATCH = 16  # the decoder upsamples the patch grid by 2 four times
LEVELS = (
    (1, 2, 2),
    (8, 16),
    (8, 4),
    (2, 1),
    (4, 8),
)  # decoder channels from 1/16 to full size, as multiples of `features`
SEED = 0  # of the fixed draws that are averaged into a prior


def fit(maps: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Resize learned maps bilinearly to ``size``; unchanged if they already have it.

    Shapes: (B, C, grid, grid), size (h, w) -> (B, C, h, w).
    """
    return maps if maps.shape[-2:] == tuple(size) else F.interpolate(maps, tuple(size), mode="bilinear")


class Encoder(nn.Module):
    """Vision transformer (Dosovitskiy et al. 2021, arXiv 2010.11929) with two class tokens: mean and log variance.

    Args:
        in_bands: bands of the image.
        latent: length of the latent code.
        grid: side of the learned grid of position embeddings, in patches.
        width: channels per token.
        depth: transformer layers.
        heads: attention heads.

    Shapes: (B, in_bands, H, W), H and W multiples of 16 -> two of (B, latent).
    """

    def __init__(self, in_bands: int, latent: int, grid: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.grid = grid
        self.patches = nn.Conv2d(in_bands, width, PATCH, stride=PATCH)
        self.mean_token = nn.Parameter(torch.randn(1, 1, width))
        self.log_variance_token = nn.Parameter(torch.randn(1, 1, width))
        self.positions = nn.Parameter(
            torch.randn(1, 2 + grid * grid, width)
        )  # the two class tokens, then the patches row by row
        layers = [
            nn.TransformerEncoderLayer(width, heads, 2 * width, 0.0, "gelu", batch_first=True, norm_first=True)
            for _ in range(depth)
        ]
        self.layers = nn.Sequential(*layers)
        self.norm = nn.LayerNorm(width)
        self.mean = nn.Linear(width, latent)
        self.log_variance = nn.Linear(width, latent)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and log variance of the latent code."""
        patches = self.patches(image)  # (B, width, h, w)
        positions = self.positions[:, 2:].mT.unflatten(2, (self.grid, self.grid))
        patches = (patches + fit(positions, patches.shape[-2:])).flatten(2).mT  # (B, h w, width)
        tokens = torch.cat([self.mean_token, self.log_variance_token], 1) + self.positions[:, :2]
        x = self.norm(self.layers(torch.cat([tokens.expand(len(image), -1, -1), patches], 1)))
        return self.mean(x[:, 0]).float(), self.log_variance(x[:, 1]).float()


def convolutions(in_channels: int, channels: Sequence[int]) -> nn.Sequential:
    """Return a sequence of 3x3 convolutions with PReLU, with these output ``channels``."""
    layers: list[nn.Module] = []
    for width in channels:
        layers += [nn.Conv2d(in_channels, width, 3, padding=1), nn.PReLU(width)]
        in_channels = width
    return nn.Sequential(*layers)


class Decoder(nn.Module):
    """Decode a latent code into a residual to the cloudy image, which is an input at every level.

    Args:
        bands: bands of the prior.
        in_bands: bands of the cloudy image.
        latent: length of the latent code.
        grid: height and width of the map that a code is projected to.
        width: hidden units between code and map.
        features: channels of `LEVELS` as multiples of this.
    """

    def __init__(self, bands: int, in_bands: int, latent: int, grid: int, width: int, features: int) -> None:
        super().__init__()
        channels = [[features * multiple for multiple in level] for level in LEVELS]
        self.map_shape = (bands, grid, grid)
        self.to_map = nn.Sequential(nn.Linear(latent, width), nn.Linear(width, bands * grid * grid))  # no ReLU between
        into = [bands, *(level[-1] for level in channels)]
        self.levels = nn.ModuleList(
            [convolutions(c + in_bands, level) for c, level in zip(into, channels, strict=False)]
        )
        self.attentions = nn.ModuleList([ChannelAttention(c, 4, bias=True) for c in into[1:-1]])
        self.ups = nn.ModuleList(
            [nn.ConvTranspose2d(c, c, 3, stride=2, padding=1, output_padding=1) for c in into[1:-1]]
        )
        self.tail = nn.Conv2d(into[-1], bands, 3, padding=1)

    def forward(self, views: list[torch.Tensor], code: torch.Tensor) -> torch.Tensor:
        """Return the residual, in [-1, 1].

        Shapes: views, the cloudy image at 1/16, 1/8, 1/4, 1/2 and full size, (B, in_bands, h, w); code (B, latent)
        -> (B, bands, H, W).
        """
        x = fit(self.to_map(code).unflatten(1, self.map_shape), views[0].shape[-2:])
        for level, attention, up, view in zip(self.levels, self.attentions, self.ups, views, strict=False):
            x = up(attention(level(torch.cat([x, view], 1))))
        return torch.tanh(self.tail(self.levels[-1](torch.cat([x, views[-1]], 1))))


@REFERENCES.register_module()
class CVAE(nn.Module):
    """Conditional variational autoencoder for thin cloud removal (Ding et al., ACCV 2022).

    A vision transformer predicts the distribution of the latent code from the cloudy image; a convolutional decoder
    restores a clear image from a code and the cloudy image; the restoration is the mean over ``samples`` codes ``mean +
    exp(log variance / 2) * draw`` (Kingma & Welling 2014, arXiv 1312.6114, equation 10). At inference the draws are
    fixed and shared by all images, so a prior depends on its image only; in training they are redrawn.

    The official network only takes 256x256 images. Here the position embeddings and the map of a code are interpolated
    to the image's patch grid; at ``size`` the output is the official one. The defaults are the network of Diffusion
    Enhancement's authors: 15.42 M parameters for 3 bands.

    Args:
        bands: bands of the prior.
        in_bands: bands of the cloudy image, the first ``bands`` of which are corrected; ``bands`` if not given.
        samples: number of codes averaged; 0 for the mean code only (training then draws one).
        latent: length of the latent code.
        size: image size of the learned position embeddings, a multiple of 16.
        width: channels of the transformer.
        depth: transformer layers.
        heads: attention heads.
        features: base channels of the decoder.

    Shapes: cloudy (B, in_bands, H, W) -> prior (B, bands, H, W), any H and W (padded to multiples of 16 inside).
    Units: [-1, 1].

    Raises:
        UserError: ``samples`` is negative, ``size`` is not a multiple of 16, ``width`` is not a multiple of ``heads``,
            ``features`` is less than 4, or ``in_bands`` is less than ``bands``.
    """

    draws: torch.Tensor

    def __init__(
        self,
        bands: int = 3,
        in_bands: int | None = None,
        *,
        samples: int = 10,
        latent: int = 50,
        size: int = 256,
        width: int = 512,
        depth: int = 4,
        heads: int = 8,
        features: int = 32,
    ) -> None:
        super().__init__()
        if samples < 0:
            raise UserError(f"CVAE: samples must be 1 or more, or 0 for the mean code only, got {samples}")
        if size < PATCH or size % PATCH:
            raise UserError(f"CVAE: size must be a multiple of {PATCH}, got {size}")
        if width % heads:
            raise UserError(f"CVAE: width must be a multiple of heads = {heads}, got {width}")
        in_bands, grid = input_bands("CVAE", bands, in_bands), size // PATCH
        self.bands = bands
        self.encoder = Encoder(in_bands, latent, grid, width, depth, heads)
        self.decoder = Decoder(bands, in_bands, latent, grid, width, features)
        generator = torch.Generator().manual_seed(SEED)
        draws = (
            torch.randn(samples, 1, latent, generator=generator, device="cpu") if samples else torch.zeros(1, 1, latent)
        )
        self.register_buffer("draws", draws, persistent=False)  # not learned, so not in the state dict

    def forward(self, cloudy: torch.Tensor) -> torch.Tensor:
        """Return the prior, clamped to [-1, 1]."""
        return self._restore(cloudy, self.draws)[0].clamp(-1, 1)

    def training_outputs(self, cloudy: torch.Tensor, clear: torch.Tensor) -> dict[str, list[torch.Tensor] | tuple]:
        """Return the unclamped mean over newly drawn codes, and ``latent``: their mean and log variance, (B, latent).

        Draws come from torch's global generator.
        """
        draws = torch.randn(len(self.draws), len(cloudy), self.draws.shape[-1], device=cloudy.device)
        restored, latent = self._restore(cloudy, draws)
        return dict(restorations=[restored], latent=latent)

    def _restore(
        self, cloudy: torch.Tensor, draws: torch.Tensor
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        """Return restoration, mean and log variance. Shapes: draws (samples, B or 1, latent)."""
        height, width = cloudy.shape[-2:]
        image = pad_to_multiple((cloudy + 1) / 2, PATCH)
        mean, log_variance = self.encoder(image)
        sizes = [(image.shape[2] // step, image.shape[3] // step) for step in (16, 8, 4, 2)]
        # Sampled with aligned corners and without antialiasing, as published.
        views = [F.interpolate(image, size, mode="bicubic", align_corners=True) for size in sizes] + [image]
        residuals = [self.decoder(views, mean + (log_variance / 2).exp() * draw) for draw in draws]
        restored = image[:, : self.bands] + torch.stack(residuals).mean(0)
        return 2 * restored[..., :height, :width] - 1, (mean, log_variance)
