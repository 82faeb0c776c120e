"""Diffusion losses: the distribution and weights of training timesteps."""
