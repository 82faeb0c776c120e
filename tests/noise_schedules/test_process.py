"""Timesteps that training draws."""

import pytest
import torch

from declouds.registry import DIFFUSION_LOSSES, NOISE_SCHEDULES


@pytest.mark.parametrize("loss", DIFFUSION_LOSSES.names())
@pytest.mark.parametrize("schedule", NOISE_SCHEDULES.names())
@pytest.mark.parametrize("steps", [50, 1000])
def test_every_timestep_is_drawn_and_all_alike(loss, schedule, steps):
    process = NOISE_SCHEDULES.build(dict(type=schedule, num_steps=steps))
    each = 100
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        t = DIFFUSION_LOSSES.build(dict(type=loss)).draw_times(each * steps, process)
    counts = torch.bincount(t)
    assert len(counts) == steps and counts.min() > 0
    chi_squared = float(((counts - each) ** 2 / each).sum())  # mean steps - 1, variance 2 (steps - 1)
    assert abs(chi_squared - (steps - 1)) < 5 * (2 * (steps - 1)) ** 0.5
