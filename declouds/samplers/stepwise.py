"""Samplers whose step is pointwise."""

import itertools
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch

from declouds.noise_schedules.process import Process
from declouds.samplers.timesteps import inference_timesteps

Denoise = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # (x_t, t) -> clear, t (B,)


class Past(NamedTuple):
    """An earlier estimate of the clear image, and its time. Shapes: (B, C, H, W), (B,)."""

    clear: torch.Tensor
    t: torch.Tensor


class StepwiseSampler:
    """Loop over the timesteps: ``denoise``, then `step`, which mixes neither pixels nor bands.

    Since `step` is pointwise, a scene of any size can be sampled as a whole: its windows are denoised one by one, and
    their blend is stepped in blocks of rows.

    Args:
        steps: number of steps; those of the process if None.
        spacing: how the timesteps lie, see `inference_timesteps`.

    Raises:
        UserError: when called, see `inference_timesteps`.
    """

    draws_noise = False  # whether `step` needs fresh noise
    history = 0  # number of previous estimates that `step` needs, for multi-step solvers
    keeps_noise_level = True  # whether x_t has the noise of its timestep in few steps too, if `clear` is perfect

    def __init__(self, steps: int | None, spacing: str | None = None) -> None:
        self.steps, self.spacing = steps, spacing

    def times(self, process: Process) -> list[float]:
        """Return the times at which the denoiser is called, in descending order."""
        steps = process.num_steps if self.steps is None else self.steps
        return inference_timesteps(steps, process, self.spacing)

    def step(
        self,
        clear: torch.Tensor,
        x_t: torch.Tensor,
        t: torch.Tensor,
        after: torch.Tensor,
        process: Process,
        noise: torch.Tensor | None = None,
        history: Sequence[Past] = (),
    ) -> torch.Tensor:
        """Return x at timestep ``after``, given the estimate ``clear`` at timestep ``t``.

        Args:
            clear: the estimate of the clear image at timestep ``t``.
            x_t: the noisy image.
            t: the current timestep.
            after: the next timestep.
            process: the process, bound to its condition.
            noise: fresh noise, if `draws_noise`.
            history: previous estimates, latest first; fewer than `history` in the first steps.

        Shapes: images (B, C, H, W), t and after (B,) -> (B, C, H, W).
        """
        raise NotImplementedError

    def fresh_noise(self, start_noise: torch.Tensor) -> Iterator[torch.Tensor | None]:
        """Yield the ``noise`` argument of `step` for each step."""
        return itertools.repeat(None)

    def __call__(self, denoise: Denoise, process: Process, noise: torch.Tensor) -> torch.Tensor:
        """Return the clear image. Shapes: noise (B, C, H, W), standard normal -> (B, C, H, W) in [-1, 1]."""
        times = self.times(process)
        x_t, fresh = process.start(noise), self.fresh_noise(noise)
        history: list[Past] = []
        for now, after in itertools.pairwise(times):
            t = torch.full((len(x_t),), now, device=x_t.device)
            clear = denoise(x_t, t)
            x_t = self.step(clear, x_t, t, torch.full_like(t, after), process, next(fresh), history)
            history = [Past(clear, t), *history][: self.history]
        return denoise(x_t, torch.full((len(x_t),), times[-1], device=x_t.device))


class StochasticSampler(StepwiseSampler):
    """A sampler that draws noise at every step, seeded by its start noise and ``seed``: so its results repeat.

    Args:
        steps: see `StepwiseSampler`.
        spacing: see `StepwiseSampler`.
        seed: seed of the noise of the steps.
    """

    draws_noise = True

    def __init__(self, steps: int | None, spacing: str | None = None, seed: int = 0) -> None:
        super().__init__(steps, spacing)
        self.seed = seed

    def fresh_noise(self, start_noise: torch.Tensor) -> Iterator[torch.Tensor]:
        """Yield noise from one generator per image, seeded by its start noise: results do not depend on the batch."""
        digests = [zlib.crc32(image.cpu().numpy().tobytes(), self.seed) for image in start_noise]
        generators = [torch.Generator().manual_seed(digest) for digest in digests]
        while True:
            drawn = [torch.randn(start_noise.shape[1:], generator=generator) for generator in generators]
            yield torch.stack(drawn).to(start_noise)  # drawn on the CPU: same on every device
