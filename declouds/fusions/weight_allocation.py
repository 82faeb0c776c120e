"""The Weight Allocation network of Diffusion Enhancement."""

from collections.abc import Sequence

import torch
from torch import nn

from declouds.errors import UserError
from declouds.layers.padding import pad_to_multiple
from declouds.layers.unet import UNet
from declouds.registry import FUSIONS

IMAGES = ("clear_hat", "prior", "x_t", "cloudy")


@FUSIONS.register_module()
class WeightAllocation(nn.Module):
    """U-Net that weights the prior per pixel and band (arXiv 2401.15105, section III-C).

    Its last convolution is zero-initialised, so training starts from pure diffusion. The defaults are the official
    network: 4.66 M parameters for 3 bands. ``sees``, ``timed`` and ``shared`` set what the weight depends on.

    Args:
        bands: bands of the image.
        in_bands: bands of the cloudy image; ``bands`` if not given.
        base: channels of the first level.
        multipliers: channels of each level as multiples of ``base``.
        blocks: residual blocks per level.
        attention_at: downsampling factors with self-attention.
        heads: attention heads.
        sees: input images, of ``clear_hat``, ``prior``, ``x_t`` and ``cloudy``. Without ``clear_hat`` and ``x_t``, an
            untimed network gives the same weight at every step of one size.
        timed: condition the network on the timestep. It can partly infer it from the noise in ``x_t`` in any case.
        shared: one weight for all bands of a pixel.
        patch: pixels a side that are folded into channels before the first level and unfolded after the last: with 4,
            the same network costs a sixteenth, and its attention less still. Each pixel has its own weight with any.

    Shapes: clear_hat, prior, x_t (B, bands, H, W), t (B,), cloudy (B, in_bands, H, W) -> weight (B, bands, H, W).
    Units: images in [-1, 1]; the weight is unbounded: the model clamps it when sampling.

    Raises:
        UserError: ``sees`` is empty or names an unknown image, or ``patch`` is below 1.
    """

    def __init__(
        self,
        bands: int = 3,
        in_bands: int | None = None,
        *,
        base: int = 64,
        multipliers: Sequence[int] = (1, 1, 2),
        blocks: int = 2,
        attention_at: Sequence[int] = (4,),
        heads: int = 1,
        sees: Sequence[str] = ("x_t", "cloudy", "prior"),
        timed: bool = True,
        shared: bool = False,
        patch: int = 1,
    ) -> None:
        super().__init__()
        if not sees or not set(sees) <= set(IMAGES):
            raise UserError(f"WeightAllocation: sees must list one or more of {', '.join(IMAGES)}, got {sees!r}")
        if not isinstance(patch, int) or patch < 1:
            raise UserError(f"WeightAllocation: patch = {patch}: give a number of pixels, at least 1")
        self.sees, self.timed, self.patch = tuple(sees), timed, patch
        self.fold, self.unfold = nn.PixelUnshuffle(patch), nn.PixelShuffle(patch)
        self.unet = UNet(
            patch**2 * sum((in_bands or bands) if image == "cloudy" else bands for image in sees),
            patch**2 * (1 if shared else bands),
            base=base,
            multipliers=multipliers,
            blocks=blocks,
            attention_at=attention_at,
            heads=heads,
            scale_shift=False,
        )

    def forward(
        self, clear_hat: torch.Tensor, prior: torch.Tensor, x_t: torch.Tensor, t: torch.Tensor, cloudy: torch.Tensor
    ) -> torch.Tensor:
        """Return the weight of the prior."""
        images = dict(clear_hat=clear_hat, prior=prior, x_t=x_t, cloudy=cloudy)
        seen = torch.cat([images[image] for image in self.sees], dim=1)
        folded = self.fold(pad_to_multiple(seen, self.patch))
        weight = self.unfold(self.unet(folded, t if self.timed else torch.zeros_like(t)))  # (B, 1 or bands, H', W')
        return weight[..., : seen.shape[-2], : seen.shape[-1]].expand_as(clear_hat)
