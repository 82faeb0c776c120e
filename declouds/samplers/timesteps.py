"""The times that a sampler visits."""

from declouds.errors import UserError


def leading_timesteps(steps: int, num_steps: int) -> list[int]:
    """Return ``steps`` times from high to low, 0 the last: of 1000, 10 steps are 900, 800, ... 0.

    Raises:
        UserError: ``steps`` is not between 1 and ``num_steps``.
    """
    if not 1 <= steps <= num_steps:
        raise UserError(f"a sampler takes between 1 and {num_steps} steps, not {steps}")
    stride = num_steps // steps
    return [stride * index for index in reversed(range(steps))]
