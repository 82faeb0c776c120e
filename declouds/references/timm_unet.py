"""Reference with any timm encoder."""

import torch
from torch import nn

from declouds.layers.encoder_unet import EncoderUNet
from declouds.layers.input_bands import input_bands
from declouds.registry import REFERENCES


@REFERENCES.register_module()
class TimmUNet(nn.Module):
    """U-Net with any timm encoder as one-pass cloud removal: prior = cloudy + U-Net(cloudy).

    It starts as the identity. With the default ConvNeXt (Liu et al. 2022, arXiv 2201.03545): 34.12 M parameters.

    Args:
        bands: bands of the prior.
        in_bands: bands of the cloudy image, the first ``bands`` of which are corrected; ``bands`` if not given.
        encoder: name of the encoder in timm.
        pretrained: start the encoder from timm's pretrained weights.
        img_size: input size of encoders with a fixed size; timm's default if not given.
        base: channels of decoder and stem at full resolution.
        blocks: residual blocks per level.
        dropout: dropout inside the residual blocks.

    Shapes: cloudy (B, in_bands, H, W) -> prior (B, bands, H, W), any H and W.
    Units: [-1, 1].

    Raises:
        UserError: ``in_bands`` is less than ``bands``, or the encoder is unusable.
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
        """Return the unclamped estimate, so that the loss has a gradient outside [-1, 1] too."""
        return dict(restorations=[self._restoration(cloudy)])

    def _restoration(self, cloudy: torch.Tensor) -> torch.Tensor:
        embedding = cloudy.new_ones(len(cloudy), 1)  # constant: no timestep here
        return cloudy[:, : self.bands] + self.unet(cloudy, embedding).float()
