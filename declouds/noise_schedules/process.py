"""The interface of diffusion processes, and the only place that knows each parametrisation."""

from typing import Any, NamedTuple

import torch
from torch import nn

from declouds.errors import UserError

PREDICTIONS = ("noise", "clear", "velocity", "flow", "residual", "edm")  # parametrisations of a denoiser
TINY = 1e-6  # variance below which `edm` takes a process for free of noise
GRID = 4096  # times between which `time_of` interpolates


def check_prediction(predicts: str) -> str:
    """Return ``predicts``.

    Raises:
        UserError: it is no parametrisation.
    """
    if predicts not in PREDICTIONS:
        raise UserError(f"predicts must be one of {', '.join(PREDICTIONS)}, got {predicts!r}")
    return predicts


class Mix(NamedTuple):
    """A parametrisation: clear = centre + skip (x_t - shift - alpha centre) + out prediction."""

    skip: torch.Tensor | float
    out: torch.Tensor | float
    centre: torch.Tensor | float = 0.0


class Process(nn.Module):
    """A Gaussian process from the clear image to noise: x_t = alpha_t clear + shift_t + sigma_t noise.

    A subclass implements `alpha_sigma`. The shift is 0, unless the process ends in the cloudy image or in the prior:
    see `Bridge`. Samplers and losses only see a bound process, so they are independent of conditions.

    Timesteps are integers from 0 to T - 1, or for a ``continuous`` process any numbers from 0 (the clear image) to T.

    Args:
        num_steps: number of timesteps T.
        data_std: standard deviation of the clear image, or of its difference from the end of a bridge, for ``edm``.

    Shapes: images (B, C, H, W), t (B,).
    """

    condition: tuple[str, ...] = ()  # what the process is bound to: "cloudy", "prior" or both
    continuous = False
    predictions: tuple[str, ...] = ("noise", "clear", "velocity", "flow", "edm")  # parametrisations that it knows

    def __init__(self, num_steps: int, data_std: float = 0.5) -> None:
        super().__init__()
        if not data_std > 0:
            raise UserError(f"data_std must be positive, got {data_std}")
        self.num_steps, self.data_std = num_steps, data_std

    def alpha_sigma(self, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the weights of the clear image and of the noise in x_t. Shapes: t (B,) -> two of (B, 1, 1, 1)."""
        raise NotImplementedError

    def bind(self, cloudy: torch.Tensor, prior: torch.Tensor | None = None) -> "Process":
        """Return the process conditioned on these images. Shapes: (B, C, H, W), both with the bands to clear."""
        return self

    def shift(self, t: torch.Tensor) -> torch.Tensor | float:
        """Return the term that the condition adds to x_t."""
        return 0.0

    @property
    def centre(self) -> torch.Tensor | float:
        """The image about which ``edm`` models the clear one: 0, or the end of a bridge."""
        return 0.0

    def start(self, noise: torch.Tensor) -> torch.Tensor:
        """Return the x that sampling starts from, given standard normal noise."""
        return noise

    def add_noise(self, clear: torch.Tensor, noise: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Return x_t."""
        alpha, sigma = self.alpha_sigma(t)
        return alpha * clear + self.shift(t) + sigma * noise

    def noise_from(self, clear: torch.Tensor, x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Return the noise that takes ``clear`` to ``x_t``."""
        alpha, sigma = self.alpha_sigma(t)
        return (x_t - self.shift(t) - alpha * clear) / sigma

    def carry(self, clear: torch.Tensor, x_t: torch.Tensor, t: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
        """Return x at time ``after`` with the noise that takes ``clear`` to x_t: a step of DDIM."""
        return self.add_noise(clear, self.noise_from(clear, x_t, t), after)

    def posterior(
        self, clear: torch.Tensor, x_t: torch.Tensor, t: torch.Tensor, after: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and standard deviation of x at the earlier time ``after``, given x_t and the clear image.

        Ho et al. 2020, equation 7, for any Markov process with these marginals, bridges among them: from ``after`` to
        t the image is multiplied by alpha_t / alpha_after and gets noise of the variance that is missing.
        """
        alpha_t, sigma_t = self.alpha_sigma(t)
        alpha_s, sigma_s = self.alpha_sigma(after)
        step = alpha_t / alpha_s
        added = (sigma_t**2 - step**2 * sigma_s**2).clamp(min=0)
        is_known = sigma_t**2 > 0  # the end of a bridge holds nothing of the path: any point of it may come before
        share = torch.where(is_known, added / sigma_t**2, 1.0)  # of the clear image in the mean
        back = torch.where(is_known, step * sigma_s**2 / sigma_t**2, 0.0)
        mean = share * alpha_s * clear + self.shift(after) + back * (x_t - self.shift(t))
        return mean, share.sqrt() * sigma_s

    def derivative(self, clear: torch.Tensor, x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Return dx/dt of the probability flow (Song et al. 2021, arXiv 2011.13456, equation 13), t in timesteps.

        x_t keeps its noise on the way: dx/dt = alpha' clear + shift' + sigma' noise.
        """
        unit = torch.ones_like(t, dtype=torch.float32)
        alpha_rate, sigma_rate = torch.func.jvp(self.alpha_sigma, (t.float(),), (unit,))[1]
        return alpha_rate * (clear - self.centre) + sigma_rate * self.noise_from(clear, x_t, t)

    def mix(self, t: torch.Tensor, predicts: str) -> Mix:
        """Return what a prediction means, see `Mix`.

        ``velocity`` is alpha noise - sigma clear (Salimans and Ho 2022, arXiv 2202.00512, section 4), ``flow`` noise -
        clear (Lipman et al. 2023, arXiv 2210.02747), ``residual`` the end of a bridge less the clear image, ``edm`` the
        preconditioned network of Karras et al. 2022 (arXiv 2206.00364, table 1), about `centre`.

        Raises:
            UserError: unknown ``predicts``, or one that this process does not know.
        """
        if predicts not in self.predictions:
            known = ", ".join(self.predictions)
            raise UserError(f"{type(self).__name__}: predicts={predicts!r} has no meaning for it: use one of {known}")
        alpha, sigma = self.alpha_sigma(t)
        if predicts == "clear":
            return Mix(0.0, 1.0)
        if predicts == "noise":
            return Mix(1 / alpha, -sigma / alpha)
        if predicts == "velocity":
            total = alpha**2 + sigma**2
            return Mix(alpha / total, -sigma / total)
        if predicts == "flow":
            return Mix(1 / (alpha + sigma), -sigma / (alpha + sigma))
        if predicts == "residual":
            return Mix(0.0, -1.0, self.centre)
        variance, data = sigma**2 + TINY, self.data_std
        total = alpha**2 * data**2 + variance
        return Mix(alpha * data**2 / total, variance.sqrt() * data / total.sqrt(), self.centre)

    def clear_from(self, prediction: torch.Tensor, x_t: torch.Tensor, t: torch.Tensor, predicts: str) -> torch.Tensor:
        """Return the clear image implied by a denoiser's ``prediction``.

        Raises:
            UserError: see `mix`.
        """
        skip, out, centre = self.mix(t, predicts)
        alpha, _ = self.alpha_sigma(t)
        return centre + skip * (x_t - self.shift(t) - alpha * centre) + out * prediction

    def target(self, clear: torch.Tensor, noise: torch.Tensor, t: torch.Tensor, predicts: str) -> torch.Tensor:
        """Return the training target of a denoiser: the prediction that implies ``clear``.

        Raises:
            UserError: see `mix`.
        """
        skip, out, centre = self.mix(t, predicts)
        if predicts == "noise":  # without the rounding of what follows
            return noise
        alpha, sigma = self.alpha_sigma(t)
        return ((1 - skip * alpha) * (clear - centre) - skip * sigma * noise) / out

    def network_input(self, x_t: torch.Tensor, t: torch.Tensor, predicts: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the noisy image and the time as the network gets them: as they are, but for ``edm`` from noise.

        That scales the image to the variance of the data, c_in, and tells the noise by c_noise = ln(sigma) / 4, in
        thousandths as timesteps are. The image on a bridge has the scale of an image at every time.
        """
        if predicts != "edm" or self.condition:
            return x_t, t
        alpha, sigma = self.alpha_sigma(t)
        scale = self.data_std / (alpha**2 * self.data_std**2 + sigma**2).sqrt()
        level = (sigma / alpha).clamp(1e-3, 1e3)  # infinite where nothing is left of the clear image
        return scale * x_t, 250 * level.log().flatten()

    def draw_times(self, count: int, device: Any = None) -> torch.Tensor:
        """Draw uniform training timesteps. Shapes: (count,)."""
        if self.continuous:  # 0 is left out: there is nothing to denoise
            return self.num_steps * (1 - torch.rand(count, device=device))
        return torch.randint(self.num_steps, (count,), device=device)

    def times_of_grid(self, device: Any = None) -> torch.Tensor:
        """Return times all over the process, in ascending order: every timestep, or `GRID` of a continuous process."""
        if self.continuous:  # denser near the clear image
            return self.num_steps * torch.linspace(0, 1, GRID + 1, device=device)[1:] ** 3
        return torch.arange(self.num_steps, device=device)

    def time_of(self, level: torch.Tensor) -> torch.Tensor:
        """Return the times at which sigma / alpha is ``level``, or nearest to it. Shapes: (n,) -> (n,)."""
        grid = self.times_of_grid(level.device)
        alpha, sigma = self.alpha_sigma(grid)
        levels = torch.where(alpha > 0, sigma / alpha, 1e9).log().flatten()  # infinite at the end of some bridges
        wanted = level.log().clamp(levels[0], levels[-1])
        above = torch.searchsorted(levels, wanted.contiguous()).clamp(min=1)
        share = (wanted - levels[above - 1]) / (levels[above] - levels[above - 1])
        times = torch.lerp(grid[above - 1].float(), grid[above].float(), share)
        return times if self.continuous else times.round().long()
