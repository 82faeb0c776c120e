"""Coarse-to-fine DDIM."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from declouds.errors import UserError
from declouds.noise_schedules.process import Process
from declouds.registry import SAMPLERS
from declouds.samplers.stepwise import Denoise
from declouds.samplers.timesteps import inference_timesteps


@SAMPLERS.register_module()
class Pyramid:
    """DDIM with early steps on downsampled images (pyramid sampling of Diffusion Enhancement, arXiv 2401.15105).

    Between levels the estimate is upsampled by nearest neighbour and noised again with the start noise of the new size;
    ``denoise`` resizes the cloudy image and the prior to match x_t.

    Args:
        levels: (reduction, steps) pairs from coarse to fine, the last with reduction 1. The default is the official
            6 steps at 1/4, 2 at 1/2 and 2 at full size.

    Raises:
        UserError: reductions do not decrease to 1; when called, if the process has fewer steps.
    """

    def __init__(self, levels: Sequence[tuple[int, int]] = ((4, 6), (2, 2), (1, 2))) -> None:
        reductions = [reduction for reduction, _ in levels]
        if not reductions or reductions[-1] != 1 or reductions != sorted(reductions, reverse=True):
            raise UserError(
                f"Pyramid levels must go from coarse to fine and end at reduction 1, got reductions {reductions}"
            )
        self.reductions = [reduction for reduction, count in levels for _ in range(count)]

    def __call__(
        self,
        denoise: Denoise,
        process: Process,
        noise: torch.Tensor,
    ) -> torch.Tensor:
        """Return the clear image. Shapes: noise (B, C, H, W), standard normal -> (B, C, H, W) in [-1, 1].

        Raises:
            UserError: the process is bound to a condition, which has a fixed size.
        """
        if process.condition:
            raise UserError("Pyramid changes the image size between steps: use a noise schedule without a condition")
        height, width = noise.shape[-2:]
        times = inference_timesteps(len(self.reductions), process)
        reductions_after = [*self.reductions[1:], None]
        x_t = _noise_of_size(noise, height, width, self.reductions[0])
        for now, after, reduction, next_reduction in zip(
            times, [*times[1:], None], self.reductions, reductions_after, strict=True
        ):
            t = torch.full((len(x_t),), now, device=x_t.device)
            clear = denoise(x_t, t)
            if after is None or next_reduction is None:
                return clear
            if next_reduction == reduction:
                own_noise = process.noise_from(clear, x_t, t)
            else:
                own_noise = _noise_of_size(noise, height, width, next_reduction)
                clear = F.interpolate(clear, size=own_noise.shape[-2:], mode="nearest")
            x_t = process.add_noise(clear, own_noise, torch.full_like(t, after))
        raise AssertionError("unreachable: there is at least one step")


def _noise_of_size(noise: torch.Tensor, height: int, width: int, reduction: int) -> torch.Tensor:
    """Crop the start noise to the reduced size, rounded up; resizing would change its variance."""
    return noise[..., : -(-height // reduction), : -(-width // reduction)]
