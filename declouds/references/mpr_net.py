"""MPRNet, the reference that is released with Diffusion Enhancement under the name MemoryNet."""

from declouds.layers.progressive_restoration import ProgressiveRestoration
from declouds.registry import REFERENCES


@REFERENCES.register_module()
class MPRNet(ProgressiveRestoration):
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
        super().__init__(
            bands,
            features,
            level_step=level_step,
            full_step=full_step,
            full_blocks=full_blocks,
            reduction=reduction,
        )
