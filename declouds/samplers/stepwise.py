"""Samplers that work pixel by pixel between two calls of the denoiser."""

import itertools
from collections.abc import Callable, Iterator, Sequence

import torch

from declouds.noise_schedules.process import Process
from declouds.samplers.timesteps import leading_timesteps

Denoise = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # (x_t, t) -> clear, t (B,)


class StepwiseSampler:
    """The loop over the timesteps: ``denoise``, then `step`, which mixes neither pixels nor bands.

    Since `step` needs no neighbours, a scene of any size can be sampled as one: its windows are denoised one by one,
    and their blend is stepped in bands of rows.

    Args:
        steps: number of steps; all of the process's if None.

    Raises:
        UserError: more steps than the process has (when called).
    """

    draws_noise = False  # whether `step` is to be given fresh noise
    history = 0  # how many earlier estimates `step` is given: those of a multi-step solver

    def __init__(self, steps: int | None) -> None:
        self.steps = steps

    def times(self, process: Process) -> list[int]:
        """Return the timesteps from high to low, 0 the last."""
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
        """Return x at time ``after``, given the estimate ``clear`` at time ``t``.

        Args:
            clear: the estimate of the clear image at time ``t``.
            x_t: the noisy image.
            t: the timestep.
            after: the timestep to go to.
            process: the process, bound to its condition.
            noise: fresh noise, if `draws_noise`.
            history: the estimates of the steps before, the latest first; fewer than `history` in the first steps.

        Shapes: images (B, C, H, W), t and after (B,) -> (B, C, H, W).
        """
        raise NotImplementedError

    def fresh_noise(self, start_noise: torch.Tensor) -> Iterator[torch.Tensor | None]:
        """Yield what `step` is given as ``noise``, step after step."""
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
