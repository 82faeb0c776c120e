"""MPRNet, the reference released with Diffusion Enhancement under the name MemoryNet."""

from declouds.layers.progressive_restoration import ProgressiveRestoration
from declouds.registry import REFERENCES


@REFERENCES.register_module()
class MPRNet(ProgressiveRestoration):
    """Multi-stage progressive restoration (Zamir et al., CVPR 2021, arXiv 2102.02808) as one-pass cloud removal.

    Stage 1 works on the four quadrants of the image, stage 2 on its upper and lower half, stage 3 on the whole at full
    resolution. The defaults are the network of Diffusion Enhancement's authors: 3.64 M parameters for 3 bands. Theirs
    shares one PReLU slope among all blocks; here each block has its own.

    See `ProgressiveRestoration` for arguments and errors.

    Shapes: cloudy (B, bands, H, W) -> prior (B, bands, H, W), any H and W.
    Units: [-1, 1].
    """
