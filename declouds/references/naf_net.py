"""NAFNet, a restoration network without activation functions."""

from collections.abc import Sequence

import torch

from declouds.layers.input_bands import input_bands
from declouds.layers.naf_unet import NAFUNet
from declouds.registry import REFERENCES


@REFERENCES.register_module()
class NAFNet(NAFUNet):
    """Nonlinear activation free network (Chen et al., ECCV 2022, arXiv 2204.04676) as one-pass cloud removal.

    A U-Net of gated blocks that adds a correction to the cloudy image. The defaults are the published network of width
    32 with 36 blocks: 17.11 M parameters for 3 bands; ``width=64`` is the second published size, 67.89 M.

    With ``gain`` it gives a gain per pixel and band besides, as `GainOffsetUNet`: what undoes a veil of one thickness.

    Args:
        bands: bands of the prior.
        in_bands: bands of the cloudy image, the first ``bands`` of which are corrected; ``bands`` if not given.
        width: channels at full size, doubled at each downsampling.
        encoder_blocks: blocks of each encoder level.
        middle_blocks: blocks at the coarsest level.
        decoder_blocks: blocks of each decoder level, coarsest first.
        gain: multiply the cloudy image too, not only add to it.
        patch: pixels a side that are folded into channels, see `NAFUNet`.

    Shapes: cloudy (B, in_bands, H, W) -> prior (B, bands, H, W), any H and W (padded inside).
    Units: [-1, 1].

    Raises:
        UserError: encoder and decoder differ in number of levels, ``patch`` is below 1, or ``in_bands`` is less than
            ``bands``.
    """

    def __init__(
        self,
        bands: int = 3,
        in_bands: int | None = None,
        *,
        width: int = 32,
        encoder_blocks: Sequence[int] = (1, 1, 1, 28),
        middle_blocks: int = 1,
        decoder_blocks: Sequence[int] = (1, 1, 1, 1),
        gain: bool = False,
        patch: int = 1,
    ) -> None:
        super().__init__(
            input_bands("NAFNet", bands, in_bands),
            (1 + gain) * bands,
            width=width,
            encoder_blocks=encoder_blocks,
            middle_blocks=middle_blocks,
            decoder_blocks=decoder_blocks,
            patch=patch,
        )
        self.bands = bands

    def forward(self, x: torch.Tensor, embedding: torch.Tensor | None = None) -> torch.Tensor:
        """Return the prior, clamped to [-1, 1]."""
        return self._restoration(x).clamp(-1, 1)

    def training_outputs(self, cloudy: torch.Tensor, clear: torch.Tensor) -> dict[str, list[torch.Tensor]]:
        """Return the unclamped estimate, so that the loss has a gradient outside [-1, 1] too."""
        return dict(restorations=[self._restoration(cloudy)])

    def _restoration(self, cloudy: torch.Tensor) -> torch.Tensor:
        image, correction = cloudy[:, : self.bands], super().forward(cloudy).float()
        offset, gain = correction[:, : self.bands], correction[:, self.bands :]
        return image + offset + (gain * image if gain.shape[1] else 0)
