"""Noise schedules: the processes that lead from the clear image to noise, to the cloudy image or to the prior."""
