"""Noise schedules: how much of the clear image and of the noise is in x_t."""
