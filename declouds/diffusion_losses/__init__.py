"""Diffusion losses: which timesteps are trained on, and how much each of them counts."""
