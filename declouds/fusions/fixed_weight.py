"""A fixed weight of the prior."""

from collections.abc import Sequence

import torch
from torch import nn

from declouds.errors import UserError
from declouds.registry import FUSIONS


@FUSIONS.register_module()
class FixedWeight(nn.Module):
    """The same weight of the prior at every pixel: one number, one per band, or linear in t.

    Args:
        weight: one number, or one per band. With ``at_start``, the weight at t = 0.
        at_start: weight at t = ``num_steps`` (pure noise), one number or one per band; in between it is linear in t.
        num_steps: steps of the noise schedule, needed for ``at_start``.

    Shapes: as every fusion: clear_hat, prior, x_t (B, C, H, W), t (B,), cloudy (B, C', H, W) -> (B, C, H, W).
    Units: 1 is the prior alone, 0 the diffusion alone.

    Raises:
        UserError: the number of weights is neither one nor the number of bands.
    """

    start: torch.Tensor
    end: torch.Tensor

    def __init__(
        self,
        weight: float | Sequence[float] = 0.5,
        at_start: float | Sequence[float] | None = None,
        num_steps: int = 1000,
    ) -> None:
        super().__init__()
        end = torch.as_tensor(weight, dtype=torch.float32).reshape(-1)
        start = end if at_start is None else torch.as_tensor(at_start, dtype=torch.float32).reshape(-1)
        self.num_steps = num_steps
        self.register_buffer("end", end, persistent=False)
        self.register_buffer("start", start, persistent=False)

    def forward(
        self, clear_hat: torch.Tensor, prior: torch.Tensor, x_t: torch.Tensor, t: torch.Tensor, cloudy: torch.Tensor
    ) -> torch.Tensor:
        """Return the weight of the prior."""
        bands = clear_hat.shape[1]
        for weights in (self.start, self.end):
            if len(weights) not in (1, bands):
                raise UserError(f"FixedWeight has {len(weights)} weights for {bands} bands: give one, or one per band")
        progress = (t.float() / self.num_steps)[:, None]  # (B, 1)
        weight = self.end + (self.start - self.end) * progress  # (B, 1 or C)
        return weight[:, :, None, None].to(clear_hat.dtype).expand_as(clear_hat)
