"""Noise schedules: the weights of the clear image and of the noise in x_t."""
