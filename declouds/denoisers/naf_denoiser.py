"""NAFNet as a denoiser."""

from collections.abc import Sequence

import torch
from torch import nn

from declouds.errors import UserError
from declouds.layers.naf_unet import NAFUNet
from declouds.layers.unet import time_embedding
from declouds.noise_schedules.process import check_prediction
from declouds.registry import DENOISERS

FIRST = "first.weight"  # of the U-Net: its only weights that depend on what goes in


@DENOISERS.register_module()
class NAFDenoiser(nn.Module):
    """Time-conditioned NAFNet on the noisy and the cloudy image, as in Refusion (arXiv 2304.08291, section 3.2).

    The timestep scales and shifts the norms of every block. Without self-attention a step costs the same per pixel at
    any size. The default has 4.62 M parameters for 3 bands.

    With ``gain`` the output is an offset and, per pixel and band, a factor of the prior (of the cloudy image without
    ``takes_prior``). Detail of that image is scaled then, and need not pass through the network and its noise.

    With ``from_reference`` training starts from the reference, a `NAFNet` of the same sizes: what that has learned is
    not learned again from noise. The output then corrects the cloudy image as the reference's does, and is the clear
    image.

    Args:
        bands: bands of the image.
        in_bands: bands of the condition; ``bands`` if not given.
        width: channels at full size, doubled at each downsampling.
        encoder_blocks: blocks of each encoder level.
        middle_blocks: blocks at the coarsest level.
        decoder_blocks: blocks of each decoder level, coarsest first.
        dropout: share of channels dropped in each branch while training.
        predicts: what the network predicts, see `Process.mix`.
        takes_prior: give the network the prior too.
        gain: predict a factor of an image besides.
        patch: pixels a side that are folded into channels, see `NAFUNet`.
        from_reference: start training from the weights of the reference, see `start_from`.

    Shapes: x_t (B, bands, H, W), t (B,), cloudy (B, in_bands, H, W) and, with ``takes_prior``, prior (B, bands, H, W)
    -> (B, bands, H, W), any H and W.
    Units: images in [-1, 1]; t in steps of the noise schedule.

    Raises:
        UserError: unknown ``predicts``, or another than 'clear' with ``from_reference``; ``patch`` below 1; or encoder
            and decoder differ in number of levels.
    """

    predicts = "noise"

    def __init__(
        self,
        bands: int = 3,
        in_bands: int | None = None,
        *,
        width: int = 24,
        encoder_blocks: Sequence[int] = (1, 1, 2, 2),
        middle_blocks: int = 2,
        decoder_blocks: Sequence[int] = (1, 1, 1, 1),
        dropout: float = 0.0,
        predicts: str = "noise",
        takes_prior: bool = False,
        gain: bool = False,
        patch: int = 1,
        from_reference: bool = False,
    ) -> None:
        super().__init__()
        if from_reference and (predicts != "clear" or takes_prior):
            raise UserError(
                "NAFDenoiser: from_reference corrects the cloudy image: set predicts='clear', takes_prior=False"
            )
        self.from_reference = from_reference
        self.predicts, self.takes_prior = check_prediction(predicts), takes_prior
        self.bands, self.width, embedding = bands, width, 4 * width
        self.time_embed = nn.Sequential(
            nn.Linear(width, embedding), nn.SiLU(), nn.Linear(embedding, embedding), nn.SiLU()
        )
        self.unet = NAFUNet(
            bands + (in_bands or bands) + takes_prior * bands,
            (1 + gain) * bands,
            width=width,
            encoder_blocks=encoder_blocks,
            middle_blocks=middle_blocks,
            decoder_blocks=decoder_blocks,
            embedding=embedding,
            dropout=dropout,
            patch=patch,
        )

    def forward(self, x_t: torch.Tensor, t: torch.Tensor, cloudy: torch.Tensor, *prior: torch.Tensor) -> torch.Tensor:
        """Return the prediction named by ``predicts``."""
        embedding = self.time_embed(time_embedding(t, self.width))
        output = self.unet(torch.cat([x_t, cloudy, *prior], dim=1), embedding)
        offset, gain = output[:, : self.bands], output[:, self.bands :]
        image = prior[0] if self.takes_prior else cloudy[:, : self.bands]
        corrected = offset + gain * image if gain.shape[1] else offset
        return image + corrected if self.from_reference else corrected

    def check_reference(self, reference: nn.Module | None) -> None:
        """Check that training can start from a reference.

        Raises:
            UserError: it is not a `NAFNet` of the same sizes.
        """
        ours, theirs = ({key: value.shape for key, value in state.items()} for state in self._states(reference))
        wrong = [key for key in ours if key != FIRST and theirs.get(key) != ours[key]]
        if wrong or theirs.keys() - ours.keys():
            raise UserError(
                "NAFDenoiser: from_reference needs a reference of type NAFNet with the same width, patch, gain and "
                "blocks: make them agree"
            )

    def start_from(self, reference: nn.Module) -> None:
        """Take over the weights of a reference: the prediction is its prior, at any time and for any ``x_t``."""
        ours, theirs = self._states(reference)
        seen = slice(self.bands * self.unet.patch**2, None)  # x_t comes before the cloudy image
        first = torch.zeros_like(ours[FIRST])
        first[:, seen] = theirs[FIRST]
        time = {key: torch.zeros_like(value) for key, value in self.unet.state_dict().items() if key not in ours}
        self.unet.load_state_dict(theirs | time | {FIRST: first})

    def _states(self, reference: nn.Module | None) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Return the weights of the U-Net that have a twin in a reference, and those of the reference."""
        own = {key: value for key, value in self.unet.state_dict().items() if "time_projection" not in key}
        return own, {} if reference is None else reference.state_dict()
