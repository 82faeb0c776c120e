"""Noise schedules: how much of the clear image and of the noise is in x_t."""

from declouds.noise_schedules.cosine import CosineSchedule
from declouds.noise_schedules.linear import LinearSchedule

__all__ = ["CosineSchedule", "LinearSchedule"]
