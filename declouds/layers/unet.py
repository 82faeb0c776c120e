"""The time-conditioned U-Net shared by the denoiser and the Weight Allocation network.

The topology is that of Dhariwal & Nichol 2021 (arXiv 2105.05233, appendix A): residual blocks with group normalisation
and a time embedding, self-attention at chosen resolutions, downsampling by strided convolution, upsampling by nearest
neighbour and convolution.
"""

import math
from collections.abc import Sequence
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from declouds.errors import UserError
from declouds.layers.padding import pad_to_multiple

Layer = TypeVar("Layer", bound=nn.Module)


def time_embedding(t: torch.Tensor, channels: int, longest_period: float = 10_000.0) -> torch.Tensor:
    """Encode timesteps as cosines and sines of geometrically spaced frequencies (Vaswani et al. 2017, section 3.5).

    Shapes: t (B,) -> (B, channels).
    """
    half = channels // 2
    frequencies = torch.exp(-math.log(longest_period) * torch.arange(half, device=t.device, dtype=torch.float32) / half)
    angles = t.float()[:, None] * frequencies[None]
    embedding = torch.cat([angles.cos(), angles.sin()], dim=-1)
    return F.pad(embedding, (0, channels % 2))


class GroupNorm(nn.GroupNorm):
    """Group normalisation of images down to a single pixel (Wu & He 2018, arXiv 1803.08494). Shapes: (B, C, H, W).

    torch's own rejects one value per group in a batch of one image, but accepts it in a larger batch.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the normalised ``x``, in its own data type."""
        if x.is_cuda and x.dtype != self.weight.dtype:  # where autocast would convert the image to float32
            with torch.autocast("cuda", enabled=False):
                return torch.group_norm(x, self.num_groups, self.weight.to(x.dtype), self.bias.to(x.dtype), self.eps)
        return torch.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


def group_norm(channels: int) -> GroupNorm:
    """Return a group normalisation with gcd(32, ``channels``) groups."""
    return GroupNorm(math.gcd(32, channels), channels)


def zero_init(layer: Layer) -> Layer:
    """Zero-initialise ``layer``, so that a residual block ending in it starts as the identity."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class ResidualBlock(nn.Module):
    """Two convolutions conditioned on a time embedding, by scale and shift of the norm or by addition.

    Shapes: x (B, in, H, W), embedding (B, E) -> (B, out, H, W).
    """

    def __init__(
        self, in_channels: int, out_channels: int, embedding: int, *, scale_shift: bool, dropout: float
    ) -> None:
        super().__init__()
        self.scale_shift = scale_shift
        self.norm1 = group_norm(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.time_projection = nn.Linear(embedding, 2 * out_channels if scale_shift else out_channels)
        self.norm2 = group_norm(out_channels)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = zero_init(nn.Conv2d(out_channels, out_channels, 3, padding=1))
        self.shortcut = nn.Identity() if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        """Return ``shortcut(x)`` plus the time-conditioned branch."""
        hidden = self.conv1(F.silu(self.norm1(x)))
        condition = self.time_projection(F.silu(embedding))[..., None, None]
        if self.scale_shift:
            scale, shift = condition.chunk(2, dim=1)
            hidden = self.norm2(hidden) * (1 + scale) + shift
        else:
            hidden = self.norm2(hidden + condition)
        return self.shortcut(x) + self.conv2(self.dropout(F.silu(hidden)))


class SelfAttention(nn.Module):
    """Multi-head self-attention over all positions, residual. Shapes: (B, C, H, W) -> the same."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        if channels % heads:
            raise UserError(f"{channels} channels cannot be split into {heads} attention heads")
        self.heads = heads
        self.norm = group_norm(channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = zero_init(nn.Conv1d(channels, channels, 1))

    def forward(self, x: torch.Tensor, embedding: torch.Tensor | None = None) -> torch.Tensor:
        """Return ``x`` plus its self-attention; ``embedding`` is not used."""
        channels, height, width = x.shape[1:]
        tokens = self.norm(x).flatten(2).transpose(1, 2)  # (B, N, C), a view of a channels-last image
        # Linear layers on the last dimension leave query, key and value in the layout of the fused attention kernels.
        qkv = F.linear(tokens, self.qkv.weight[..., 0], self.qkv.bias)
        # The channels of `qkv` are ordered head by head, each as query, key, value.
        qkv = qkv.unflatten(2, (self.heads, 3, channels // self.heads)).transpose(1, 2)
        query, key, value = qkv.unbind(3)  # each (B, heads, N, C / heads)
        attended = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)  # (B, N, C)
        attended = F.linear(attended, self.proj_out.weight[..., 0], self.proj_out.bias)
        return x + attended.transpose(1, 2).unflatten(2, (height, width))


class Downsample(nn.Module):
    """Downsample by 2 with a strided convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: torch.Tensor, embedding: torch.Tensor | None = None) -> torch.Tensor:
        """Shapes: (B, C, H, W) -> (B, C, H/2, W/2); ``embedding`` is not used."""
        return self.conv(x)


class Upsample(nn.Module):
    """Upsample by 2 with nearest neighbour and a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: torch.Tensor, embedding: torch.Tensor | None = None) -> torch.Tensor:
        """Shapes: (B, C, H, W) -> (B, C, 2H, 2W); ``embedding`` is not used."""
        return self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))


class FirstConv(nn.Conv2d):
    """First convolution of the encoder, with the call signature of the other blocks."""

    def forward(self, x: torch.Tensor, embedding: torch.Tensor | None = None) -> torch.Tensor:
        """Shapes: (B, in, H, W) -> (B, base, H, W); ``embedding`` is not used."""
        return super().forward(x)


class Blocks(nn.ModuleList):
    """A sequence of blocks, each conditioned on the time embedding.

    Attributes:
        recompute: recompute what is inside the blocks in the backward pass instead of keeping it (Chen et al. 2016,
            arXiv 1604.06174): less memory for a third more time, with the same gradients.
    """

    recompute = False

    def forward(self, x: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        """Return the output of the last block."""
        for block in self:
            if self.recompute and torch.is_grad_enabled():
                x = checkpoint(block, x, embedding, use_reentrant=False)
            else:
                x = block(x, embedding)
        return x


def recompute_activations(network: nn.Module) -> None:
    """Let all `Blocks` of a network recompute their activations in the backward pass."""
    for module in network.modules():
        if isinstance(module, Blocks):
            module.recompute = True


class UNet(nn.Module):
    """A U-Net conditioned on the timestep.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        base: channels of the first level.
        multipliers: channels of each level as multiples of ``base``; each level after the first halves the size.
        blocks: residual blocks per level.
        attention_at: downsampling factors with self-attention after each residual block.
        heads: attention heads.
        scale_shift: scale and shift the norms by the timestep embedding, instead of adding it.
        dropout: dropout inside the residual blocks.

    Shapes: x (B, in_channels, H, W), t (B,) -> (B, out_channels, H, W), for any H and W (padded inside).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        base: int,
        multipliers: Sequence[int],
        blocks: int,
        attention_at: Sequence[int],
        heads: int,
        scale_shift: bool,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.base = base
        self.multiple = 2 ** (len(multipliers) - 1)
        width = 4 * base
        self.time_embed = nn.Sequential(nn.Linear(base, width), nn.SiLU(), nn.Linear(width, width))

        def residual(inputs: int, outputs: int) -> ResidualBlock:
            return ResidualBlock(inputs, outputs, width, scale_shift=scale_shift, dropout=dropout)

        channels = base
        self.encoder = nn.ModuleList([Blocks([FirstConv(in_channels, base, 3, padding=1)])])
        skips = [base]
        for level, multiplier in enumerate(multipliers):
            for _ in range(blocks):
                stage = Blocks([residual(channels, multiplier * base)])
                channels = multiplier * base
                if 2**level in attention_at:
                    stage.append(SelfAttention(channels, heads))
                self.encoder.append(stage)
                skips.append(channels)
            if level < len(multipliers) - 1:
                self.encoder.append(Blocks([Downsample(channels)]))
                skips.append(channels)

        self.middle = Blocks(
            [residual(channels, channels), SelfAttention(channels, heads), residual(channels, channels)]
        )

        self.decoder = nn.ModuleList()
        for level, multiplier in reversed(list(enumerate(multipliers))):
            for index in range(blocks + 1):
                stage = Blocks([residual(channels + skips.pop(), multiplier * base)])
                channels = multiplier * base
                if 2**level in attention_at:
                    stage.append(SelfAttention(channels, heads))
                if level > 0 and index == blocks:
                    stage.append(Upsample(channels))
                self.decoder.append(stage)

        last = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.out = nn.Sequential(group_norm(channels), nn.SiLU(), zero_init(last))

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Return the raw output of the last convolution."""
        height, width = x.shape[-2:]
        hidden = pad_to_multiple(x, self.multiple)
        embedding = self.time_embed(time_embedding(t, self.base))
        skips = []
        for stage in self.encoder:
            hidden = stage(hidden, embedding)
            skips.append(hidden)
        hidden = self.middle(hidden, embedding)
        for stage in self.decoder:
            hidden = stage(torch.cat([hidden, skips.pop()], dim=1), embedding)
        return self.out(hidden)[..., :height, :width]
