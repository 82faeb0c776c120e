"""The variance-preserving process of the linear and cosine schedules: alpha^2 + sigma^2 = 1."""

import torch

from declouds.errors import UserError
from declouds.noise_schedules.process import Process


class VariancePreserving(Process):
    """Discrete diffusion process defined by its betas (Ho et al. 2020, arXiv 2006.11239, equations 2 and 4).

    x_t = sqrt(abar_t) clear + sqrt(1 - abar_t) noise, with abar_t the product of (1 - beta_s) for s up to t.

    Args:
        betas: (T,) float64, each in (0, 1).

    Raises:
        UserError: a beta is outside (0, 1).
    """

    alpha: torch.Tensor
    sigma: torch.Tensor

    def __init__(self, betas: torch.Tensor) -> None:
        super().__init__(len(betas))
        if not bool(((betas > 0) & (betas < 1)).all()):
            raise UserError("betas of a noise schedule must be between 0 and 1, exclusive")
        abar = torch.cumprod(1 - betas.double(), dim=0)  # float64: float32 loses digits where abar is close to 1
        self.register_buffer("alpha", abar.sqrt().float(), persistent=False)
        self.register_buffer("sigma", (1 - abar).sqrt().float(), persistent=False)

    def alpha_sigma(self, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return sqrt(abar_t) and sqrt(1 - abar_t); between timesteps the logarithm of their ratio is interpolated.

        Shapes: t (B,) -> two of (B, 1, 1, 1).
        """
        if not t.is_floating_point():
            return self.alpha[t][:, None, None, None], self.sigma[t][:, None, None, None]
        below = t.detach().floor().clamp(0, self.num_steps - 2).long()
        share = t - below
        levels = (self.sigma / self.alpha).log()
        level = torch.lerp(levels[below], levels[below + 1], share).exp()[:, None, None, None]
        alpha = (1 + level**2).rsqrt()
        return alpha, level * alpha
