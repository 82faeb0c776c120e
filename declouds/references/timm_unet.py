"""A reference on any encoder of timm."""

import torch
from torch import nn

from declouds.layers.encoder_unet import EncoderUNet
from declouds.layers.input_bands import input_bands
from declouds.registry import REFERENCES


@REFERENCES.register_module()
class TimmUNet(nn.Module):
    """U-Net on any encoder of timm as one-pass cloud removal: prior = cloudy + U-Net(cloudy).

    It starts as the identity. With the default ConvNeXt (Liu et al. 2022, arXiv 2201.03545): 34.12 M parameters.

    Args:
        bands: bands of the prior.
        in_bands: bands of the cloudy image, the first ``bands`` of which are corrected; ``bands`` if not given.
        encoder: name of the encoder in timm.
        pretrained: start the encoder from timm's pretrained weights.
        img_size: size that the encoder is made for, if it is made for one; timm's own if not given.
        base: channels of decoder and stem at full size.
        blocks: residual blocks a level.
        dropout: dropout inside the residual blocks.

    Shapes: cloudy (B, in_bands, H, W) -> prior (B, bands, H, W), any H and W.
    Units: [-1, 1].

    Raises:
        UserError: fewer bands in than out, or the encoder cannot be used.
    """

    def __init__(
        self,
        bands: int = 3,
        in_bands: int | None = None,
        *,
        encoder: str = "convnext_tiny",
        pretrained: bool = False,
        img_size: int | None = None,
        base: int = 32,
        blocks: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.bands = bands
        self.unet = EncoderUNet(
            input_bands("TimmUNet", bands, in_bands),
            bands,
            1,
            encoder=encoder,
            pretrained=pretrained,
            img_size=img_size,
            base=base,
            blocks=blocks,
            dropout=dropout,
        )

    def forward(self, cloudy: torch.Tensor) -> torch.Tensor:
        """Return the prior, clamped to [-1, 1]."""
        return self._restoration(cloudy).clamp(-1, 1)

    def training_outputs(self, cloudy: torch.Tensor, clear: torch.Tensor) -> dict[str, list[torch.Tensor]]:
        """Return the one estimate, unclamped, so that its loss has a gradient outside [-1, 1] too."""
        return dict(restorations=[self._restoration(cloudy)])

    def _restoration(self, cloudy: torch.Tensor) -> torch.Tensor:
        timeless = cloudy.new_ones(len(cloudy), 1)  # so scales and shifts are what any network learns: constants
        return cloudy[:, : self.bands] + self.unet(cloudy, timeless).float()
