"""Samplers whose step is pointwise."""

import itertools
from collections.abc import Callable, Iterator, Sequence

import torch

from declouds.noise_schedules.process import Process
from declouds.samplers.timesteps import leading_timesteps

Denoise = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # (x_t, t) -> clear, t (B,)


class StepwiseSampler:
    """Loop over the timesteps: ``denoise``, then `step`, which mixes neither pixels nor bands.

    Since `step` is pointwise, a scene of any size can be sampled as a whole: its windows are denoised one by one, and
    their blend is stepped in blocks of rows.

    Args:
        steps: number of steps; those of the process if None.

    Raises:
        UserError: when called, if the process has fewer steps.
    """

    draws_noise = False  # whether `step` needs fresh noise
    history = 0  # number of previous estimates that `step` needs, for multi-step solvers

    def __init__(self, steps: int | None) -> None:
        self.steps = steps

    def times(self, process: Process) -> list[int]:
        """Return the inference timesteps in descending order, ending at 0."""
        steps = process.num_steps if self.steps is None else self.steps
        return leading_timesteps(steps, process.num_steps)

    def step(
        self,
        clear: torch.Tensor,
        x_t: torch.Tensor,
        t: torch.Tensor,
        after: torch.Tensor,
        process: Process,
        noise: torch.Tensor | None = None,
        history: Sequence[torch.Tensor] = (),
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
        history: list[torch.Tensor] = []
        for now, after in itertools.pairwise(times):
            t = torch.full((len(x_t),), now, device=x_t.device)
            clear = denoise(x_t, t)
            x_t = self.step(clear, x_t, t, torch.full_like(t, after), process, next(fresh), history)
            history = [clear, *history][: self.history]
        return denoise(x_t, torch.full((len(x_t),), times[-1], device=x_t.device))
