"""SpA-GAN: residual blocks weighted by a spatial attention map."""

import torch
import torch.nn.functional as F
from torch import nn

from declouds.layers.dilated_bottleneck import dilated_bottleneck
from declouds.registry import REFERENCES

PLAIN_BEFORE, ATTENTIONS, ATTENDED, PLAIN_AFTER = 3, 4, 3, 2  # residual blocks: 3 plain, 4 times 3 attended, 2 plain
LAYERS = ("conv1", "relu1", "conv2", "relu2", "conv3")  # layer names of a residual block in weights files


class Step(nn.Module):
    """One recurrent step between neighbouring pixels along an axis, with a gain and an offset per channel.

    ``h = relu(x + w x_previous + b)``, a single step of the recurrence of Le et al. 2015 (arXiv 1504.00941), with w = 1
    and b = 0 initially. The first pixels, which have no predecessor, are unchanged.

    Args:
        channels: channels.
        axis: 2 or 3.
        forward: propagate down or right; otherwise up or left.

    Shapes: (B, C, H, W) -> the same.
    """

    def __init__(self, channels: int, axis: int, *, forward: bool) -> None:
        super().__init__()
        self.axis, self.is_forward = axis, forward
        self.weight = nn.Parameter(torch.ones(channels, 1, 1, 1))  # of a depthwise convolution
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the hidden state of every pixel."""
        count = x.shape[self.axis] - 1
        early, late = x.narrow(self.axis, 0, count), x.narrow(self.axis, 1, count)
        before, after = (early, late) if self.is_forward else (late, early)
        # Equal to a depthwise convolution, but much faster.
        hidden = F.relu(after + before * self.weight[:, 0] + self.bias[:, None, None])
        first = x.narrow(self.axis, 0 if self.is_forward else count, 1)
        return torch.cat([first, hidden] if self.is_forward else [hidden, first], self.axis)


class FourDirections(nn.Module):
    """Propagate features in four directions (Bell et al. 2016, arXiv 1512.04143).

    Shapes: (B, C, H, W) -> (B, 4C, H, W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.up = Step(channels, 2, forward=True)
        self.right = Step(channels, 3, forward=False)
        self.down = Step(channels, 2, forward=False)
        self.left = Step(channels, 3, forward=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the features of the four directions, concatenated."""
        return torch.cat([self.up(x), self.right(x), self.down(x), self.left(x)], 1)


class SpatialAttention(nn.Module):
    """Spatial attention map from two four-direction passes. Shapes: (B, C, H, W) -> (B, 1, H, W) in [0, 1]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.entry = nn.Conv2d(channels, channels, 1)
        self.looks = nn.ModuleList([FourDirections(channels) for _ in range(2)])
        self.merges = nn.ModuleList([nn.Conv2d(4 * channels, channels, 1) for _ in range(2)])
        self.exit = nn.Conv2d(channels, 1, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the attention map."""
        x = self.entry(x)
        for look, merge in zip(self.looks, self.merges, strict=True):
            x = merge(look(x))
        return torch.sigmoid(self.exit(F.relu(x)))


@REFERENCES.register_module()
class SpAGAN(nn.Module):
    """Generator of the spatial attention GAN, SpA-GAN (Pan 2020, arXiv 2009.13015).

    Residual blocks at full resolution, most weighted by one shared spatial attention module, applied four times. Its
    last map is supervised: ``attention`` in `training_outputs`. The target is not a cloud map, but where the clear
    image is brighter (`declouds.models.one_pass.attention_target`). The defaults are the author's network, without the
    16,228 of its 219,300 parameters that do not affect the output: the author's module also computes a weight per
    direction, but discards the products.

    Args:
        bands: bands of the image.
        features: channels of every layer.

    Shapes: cloudy (B, bands, H, W) -> prior (B, bands, H, W), any H and W.
    Units: [-1, 1].
    """

    def __init__(self, bands: int = 3, features: int = 32) -> None:
        super().__init__()
        count = PLAIN_BEFORE + ATTENTIONS * ATTENDED + PLAIN_AFTER
        self.conv_in = nn.Conv2d(bands, features, 3, padding=1, bias=False)
        self.blocks = nn.ModuleList([dilated_bottleneck(features, LAYERS) for _ in range(count)])
        self.attention = SpatialAttention(features)
        self.conv_out = nn.Conv2d(features, bands, 3, padding=1, bias=False)

    def forward(self, cloudy: torch.Tensor) -> torch.Tensor:
        """Return the prior, clamped to [-1, 1]."""
        return self._restoration(cloudy)[0].clamp(-1, 1)

    def training_outputs(
        self, cloudy: torch.Tensor, clear: torch.Tensor
    ) -> dict[str, list[torch.Tensor] | torch.Tensor]:
        """Return the unclamped restoration and the last attention map (B, 1, H, W)."""
        restoration, attention = self._restoration(cloudy)
        return dict(restorations=[restoration], attention=attention)

    def _restoration(self, cloudy: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = F.relu(self.conv_in((cloudy + 1) / 2))
        for block in self.blocks[:PLAIN_BEFORE]:
            x = F.relu(x + block(x))
        for index, block in enumerate(self.blocks[PLAIN_BEFORE:-PLAIN_AFTER]):
            if index % ATTENDED == 0:
                attention = self.attention(x)
            x = F.relu(x + block(x) * attention)
        for block in self.blocks[-PLAIN_AFTER:]:
            x = F.relu(x + block(x))
        return 2 * self.conv_out(x).float() - 1, attention.float()
