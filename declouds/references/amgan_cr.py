"""AMGAN-CR: restoration guided by the attention map of a recurrent network."""

import torch
import torch.nn.functional as F
from torch import nn

from declouds.layers.dilated_bottleneck import dilated_bottleneck
from declouds.registry import REFERENCES


def conv(in_channels: int, out_channels: int, *, bias: bool = True) -> nn.Conv2d:
    """Return a 3x3 convolution that keeps the size."""
    return nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=bias)


class Residual(nn.Module):
    """Two convolutions with ReLU, a residual connection and a final ReLU. Shapes: (B, C, H, W) -> the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = conv(channels, channels)
        self.conv2 = conv(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``x`` plus the branch."""
        return F.relu(x + F.relu(self.conv2(F.relu(self.conv1(x)))))


class AttentiveRecurrent(nn.Module):
    """Refine an attention map iteratively, from the image and the previous map (Qian et al. 2018, arXiv 1711.10098).

    A convolutional LSTM (Shi et al. 2015, arXiv 1506.04214, without peepholes) carries the state between iterations.

    Args:
        in_bands: bands of the image.
        channels: channels of the features and of the LSTM's state.
        blocks: residual blocks per iteration.
        iterations: number of iterations.
    """

    def __init__(self, in_bands: int, channels: int, blocks: int, iterations: int) -> None:
        super().__init__()
        self.iterations = iterations
        self.entry = conv(in_bands + 1, channels)
        self.blocks = nn.Sequential(*[Residual(channels) for _ in range(blocks)])
        self.input_gate = conv(2 * channels, channels)
        self.forget_gate = conv(2 * channels, channels)
        self.candidate = conv(2 * channels, channels)
        self.output_gate = conv(2 * channels, channels)
        self.to_attention = conv(channels, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the last map, unclamped. Shapes: (B, in_bands, H, W) -> (B, 1, H, W)."""
        attention = torch.full_like(image[:, :1], 0.5)
        hidden = cell = torch.zeros_like(image[:, :1]).repeat(1, self.entry.out_channels, 1, 1)
        for _ in range(self.iterations):
            features = self.blocks(F.relu(self.entry(torch.cat([image, attention], 1))))
            x = torch.cat([features, hidden], 1)  # (B, 2 channels, H, W)
            new = torch.sigmoid(self.input_gate(x)) * torch.tanh(self.candidate(x))
            cell = torch.sigmoid(self.forget_gate(x)) * cell + new
            hidden = torch.sigmoid(self.output_gate(x)) * torch.tanh(cell)
            attention = self.to_attention(hidden)
        return attention


@REFERENCES.register_module()
class AMGANCR(nn.Module):
    """Generator of the attention mechanism-based GAN for cloud removal, AMGAN-CR (Xu et al., RSE 271, 2022).

    The attention map of an attentive recurrent network multiplies the branches of three residual blocks; two more
    blocks and a convolution give the clear image. The map's training target is not a cloud map, but where the clear
    image is brighter (`declouds.models.one_pass.attention_target`). The defaults are the network of Diffusion
    Enhancement's authors, without a block of 11,264 parameters that does not affect the output.

    Args:
        bands: bands of the prior.
        in_bands: bands of the cloudy image; ``bands`` if not given.
        features: channels of all layers.
        recurrent_blocks: residual blocks per iteration.
        iterations: iterations of the recurrent network.

    Shapes: cloudy (B, in_bands, H, W) -> prior (B, bands, H, W), any H and W, without padding.
    Units: [-1, 1].
    """

    def __init__(
        self,
        bands: int = 3,
        in_bands: int | None = None,
        *,
        features: int = 32,
        recurrent_blocks: int = 5,
        iterations: int = 4,
    ) -> None:
        super().__init__()
        in_bands = in_bands or bands
        self.attention = AttentiveRecurrent(in_bands, features, recurrent_blocks, iterations)
        self.entry = conv(in_bands, features, bias=False)
        self.guided_entry = conv(in_bands + 1, features, bias=False)
        self.guided = nn.ModuleList([dilated_bottleneck(features) for _ in range(3)])
        self.plain = nn.ModuleList([dilated_bottleneck(features) for _ in range(2)])
        self.tail = conv(features, bands, bias=False)

    def forward(self, cloudy: torch.Tensor) -> torch.Tensor:
        """Return the prior, clamped to [-1, 1]."""
        return self._restore(cloudy)[0].clamp(-1, 1)

    def training_outputs(
        self, cloudy: torch.Tensor, clear: torch.Tensor
    ) -> dict[str, list[torch.Tensor] | torch.Tensor]:
        """Return the unclamped restoration and the last ``attention`` map, (B, 1, H, W).

        As in the official loss, the earlier maps are not supervised.
        """
        restored, attention = self._restore(cloudy)
        return dict(restorations=[restored], attention=attention)

    def _restore(self, cloudy: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        image = (cloudy + 1) / 2
        attention = self.attention(image)
        guide = F.relu(self.guided_entry(torch.cat([image, attention], 1)))
        x = self.guided[0](F.relu(self.entry(image)))  # the first block is used twice, here without attention
        for block in self.guided:
            x = F.relu(block(x) * attention + guide)
        for block in self.plain:
            x = F.relu(block(x) + x)
        return 2 * self.tail(x).float() - 1, attention.float()
