"""Deliberate degradation of the prior, to measure how much a fusion depends on it."""

import torch

from declouds.errors import UserError


class DegradedPrior:
    """Blurs a prior, then adds a colour shift, a bias and noise, in this order, and clamps the result.

    The noise is the same for all images of one size, so results depend neither on the batch nor on its order.

    Args:
        blur: standard deviation of a Gaussian, in pixels; 0 for no blur.
        colour: offset added to the first band and subtracted from the last, interpolated linearly in between.
        bias: offset added to every band.
        noise: standard deviation of white noise.

    Units: ``colour``, ``bias`` and ``noise`` in image units, [-1, 1].

    Raises:
        UserError: blur or noise is negative.
    """

    def __init__(self, blur: float = 0.0, colour: float = 0.0, bias: float = 0.0, noise: float = 0.0) -> None:
        if blur < 0 or noise < 0:
            raise UserError(f"degrade_prior: blur and noise must be 0 or more, got {blur} and {noise}")
        self.blur, self.colour, self.bias, self.noise = blur, colour, bias, noise

    def __call__(self, prior: torch.Tensor) -> torch.Tensor:
        """Return the degraded prior. Shapes: (B, C, H, W). Units: [-1, 1]."""
        if self.blur:
            from kornia.filters import gaussian_blur2d  # slow to import, and only experiments need it

            side = 2 * round(3 * self.blur) + 1
            border = "reflect" if min(prior.shape[-2:]) > side // 2 else "replicate"
            prior = gaussian_blur2d(prior, (side, side), (self.blur, self.blur), border_type=border)
        tint = torch.linspace(self.colour, -self.colour, prior.shape[1], device=prior.device)
        prior = prior + tint[:, None, None] + self.bias
        if self.noise:
            generator = torch.Generator().manual_seed(0)
            prior = prior + self.noise * torch.randn(prior.shape[1:], generator=generator).to(prior)
        return prior.clamp(-1, 1)
