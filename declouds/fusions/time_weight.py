"""A weight that depends on the timestep only."""

import torch
from torch import nn

from declouds.errors import UserError
from declouds.registry import FUSIONS


@FUSIONS.register_module()
class TimeWeight(nn.Module):
    """Learned curve over time: one weight per timestep and band, the same at every pixel of every image.

    Weight Allocation (arXiv 2401.15105, section III-C) reduced to its dependence on time. It starts at 0, pure
    diffusion.

    Args:
        bands: bands of the image.
        num_steps: steps of the noise schedule.

    Shapes: as every fusion: clear_hat, prior, x_t (B, bands, H, W), t (B,), cloudy (B, C', H, W) -> (B, bands, H, W).
    Units: t in steps of the noise schedule; the weight is unbounded: the model clamps it when sampling.

    Raises:
        UserError: the noise schedule has more steps than the curve.
    """

    def __init__(self, bands: int = 3, *, num_steps: int = 1000) -> None:
        super().__init__()
        self.max_steps = num_steps
        self.curve = nn.Parameter(torch.zeros(num_steps, bands))

    def forward(
        self, clear_hat: torch.Tensor, prior: torch.Tensor, x_t: torch.Tensor, t: torch.Tensor, cloudy: torch.Tensor
    ) -> torch.Tensor:
        """Return the weight of the prior."""
        if t.is_floating_point():  # of a continuous process, from 0 to num_steps
            t = t.ceil().long().clamp(min=1) - 1
        # On a GPU an index out of range aborts, and looking for one would wait: the model has compared the steps.
        if t.device.type == "cpu" and (last := int(t.max())) >= self.max_steps:
            raise UserError(
                f"TimeWeight has {self.max_steps} steps but got timestep {last}: set its num_steps to that of the "
                "noise schedule"
            )
        return self.curve[t][:, :, None, None].to(clear_hat.dtype).expand_as(clear_hat)
