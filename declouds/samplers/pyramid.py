"""Coarse-to-fine DDIM."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F

from declouds.errors import UserError
from declouds.registry import SAMPLERS
from declouds.samplers.timesteps import leading_timesteps


@SAMPLERS.register_module()
class Pyramid:
    """DDIM whose early steps run on reduced images (pyramid sampling of Diffusion Enhancement, arXiv 2401.15105).

    At a change of scale the estimate is enlarged by nearest neighbour and noised again with the start noise of its own
    size; ``denoise`` meets each size as it comes and brings the cloudy image and the prior to it.

    Args:
        levels: (reduction, steps) pairs from coarse to fine, the last with reduction 1. The default is the official
            6 steps at a quarter, 2 at a half, 2 at full size.

    Raises:
        UserError: reductions that do not fall to 1, or more steps than the noise schedule has (when called).
    """

    def __init__(self, levels: Sequence[tuple[int, int]] = ((4, 6), (2, 2), (1, 2))) -> None:
        reductions = [reduction for reduction, _ in levels]
        if not reductions or reductions[-1] != 1 or reductions != sorted(reductions, reverse=True):
            raise UserError(
                f"Pyramid levels go from coarse to fine and end at reduction 1; got reductions {reductions}"
            )
        self.reductions = [reduction for reduction, count in levels for _ in range(count)]

    def __call__(
        self,
        denoise: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        x_start: torch.Tensor,
        noise_schedule: Any,
    ) -> torch.Tensor:
        """Return the clear image. Shapes: x_start (B, C, H, W), standard normal -> (B, C, H, W) in [-1, 1]."""
        height, width = x_start.shape[-2:]
        times = leading_timesteps(len(self.reductions), noise_schedule.num_steps)
        reductions_after = [*self.reductions[1:], None]
        x_t = _noise_of_size(x_start, height, width, self.reductions[0])
        for now, after, reduction, next_reduction in zip(
            times, [*times[1:], None], self.reductions, reductions_after, strict=True
        ):
            t = torch.full((len(x_t),), now, device=x_t.device)
            clear = denoise(x_t, t)
            if after is None or next_reduction is None:
                return clear
            if next_reduction == reduction:
                noise = noise_schedule.noise_from(clear, x_t, t)
            else:
                noise = _noise_of_size(x_start, height, width, next_reduction)
                clear = F.interpolate(clear, size=noise.shape[-2:], mode="nearest")
            x_t = noise_schedule.add_noise(clear, noise, torch.full_like(t, after))
        raise AssertionError("unreachable: there is at least one step")


def _noise_of_size(x_start: torch.Tensor, height: int, width: int, reduction: int) -> torch.Tensor:
    """Cut standard normal noise for the reduced size out of the start noise, sizes rounded up."""
    return x_start[..., : -(-height // reduction), : -(-width // reduction)]
