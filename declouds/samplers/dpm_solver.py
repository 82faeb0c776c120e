"""DPM-Solver++ of second order."""

from collections.abc import Sequence

import torch

from declouds.noise_schedules.process import Process
from declouds.registry import SAMPLERS
from declouds.samplers.stepwise import Past, StepwiseSampler


@SAMPLERS.register_module()
class DPMSolver(StepwiseSampler):
    """DPM-Solver++(2M), one call a step (Lu et al. 2022, arXiv 2211.01095, algorithm 2).

    A step of DDIM with the estimate of the clear image extrapolated from the last two, in lambda = ln(alpha / sigma).
    On a process with a shift it is the solver of x - shift, which diffuses as the paper's x does.

    Args:
        steps: number of steps.
        spacing: how the timesteps lie, see `inference_timesteps`.

    Raises:
        UserError: when called, see `inference_timesteps`.
    """

    history = 1

    def __init__(self, steps: int = 10, spacing: str | None = None) -> None:
        super().__init__(steps, spacing)

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
        """Return x at timestep ``after``."""
        if not history:
            return process.carry(clear, x_t, t, after)
        alpha, sigma = process.alpha_sigma(t)
        alpha_after, sigma_after = process.alpha_sigma(after)
        last, now, then = (_log_snr(time, process) for time in (history[0].t, t, after))
        share = (then - now) / (2 * (now - last))  # 1 / (2 r); 0 after a first step from an infinite level
        extrapolated = clear + share * (clear - history[0].clear)
        kept = sigma_after / sigma * (x_t - process.shift(t))
        return process.shift(after) + kept + (alpha_after - sigma_after / sigma * alpha) * extrapolated


def _log_snr(t: torch.Tensor, process: Process) -> torch.Tensor:
    alpha, sigma = process.alpha_sigma(t)
    return torch.where((alpha > 0) & (sigma > 0), (alpha / sigma).log(), -torch.inf)
