"""Inference timesteps."""

from declouds.errors import UserError


def leading_timesteps(steps: int, num_steps: int) -> list[int]:
    """Return ``steps`` inference timesteps in descending order, ending at 0: 10 of 1000 are 900, 800, ... 0.

    Raises:
        UserError: ``steps`` is not between 1 and ``num_steps``.
    """
    if not 1 <= steps <= num_steps:
        raise UserError(f"sampler steps must be between 1 and {num_steps}, got {steps}")
    stride = num_steps // steps
    return [stride * index for index in reversed(range(steps))]
