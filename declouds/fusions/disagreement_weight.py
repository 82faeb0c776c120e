"""A weight based on the disagreement between prior and diffusion."""

import torch
import torch.nn.functional as F
from torch import nn

from declouds.errors import UserError
from declouds.layers.encoder_unet import FiLM
from declouds.layers.unet import time_embedding, zero_init
from declouds.registry import FUSIONS


@FUSIONS.register_module()
class DisagreementWeight(nn.Module):
    """Small head on the difference between prior and diffusion and on local statistics of both.

    Where two estimates differ, at least one is wrong: disagreement as uncertainty (Lakshminarayanan et al. 2017, arXiv
    1612.01474). A fusion gets a single denoiser estimate, so the two compared are ``prior`` and ``clear_hat``. The
    inputs are |prior - clear_hat|, its local mean, and the local contrast (mean absolute deviation from the local mean)
    of each estimate. Two pointwise layers, with FiLM by the timestep in between, turn them into the weight. The last
    is zero-initialised, so training starts from pure diffusion.

    Args:
        bands: bands of the image.
        width: channels between the two layers.
        window: side of the window of local mean and contrast, an odd number of pixels.

    Shapes: as every fusion: clear_hat, prior, x_t (B, bands, H, W), t (B,), cloudy (B, C', H, W) -> (B, bands, H, W).
    Units: images in [-1, 1]; the weight is unbounded: the model clamps it when sampling. Its receptive field
        is ``window - 1`` pixels to each side; it uses neither ``x_t`` nor ``cloudy``.

    Raises:
        UserError: ``window`` is not a positive odd number.
    """

    def __init__(self, bands: int = 3, *, width: int = 32, window: int = 7) -> None:
        super().__init__()
        if window < 1 or window % 2 == 0:
            raise UserError(f"DisagreementWeight: window must be a positive odd number, got {window}")
        self.width, self.window = width, window
        self.first = nn.Conv2d(4 * bands, width, 1)
        self.film = FiLM(width, width)
        self.last = zero_init(nn.Conv2d(width, bands, 1))

    def forward(
        self, clear_hat: torch.Tensor, prior: torch.Tensor, x_t: torch.Tensor, t: torch.Tensor, cloudy: torch.Tensor
    ) -> torch.Tensor:
        """Return the weight of the prior."""
        distance = (prior - clear_hat).abs()
        seen = [distance, self._local_mean(distance), self._contrast(prior), self._contrast(clear_hat)]
        hidden = self.first(torch.cat(seen, dim=1))  # (B, width, H, W)
        return self.last(F.silu(self.film(hidden, time_embedding(t, self.width))))

    def _local_mean(self, image: torch.Tensor) -> torch.Tensor:
        """Return the mean over the window, at the border over its part inside the image."""
        return F.avg_pool2d(image, self.window, stride=1, padding=self.window // 2, count_include_pad=False)

    def _contrast(self, image: torch.Tensor) -> torch.Tensor:
        return self._local_mean((image - self._local_mean(image)).abs())
