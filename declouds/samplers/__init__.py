"""Samplers: from noise to a clear image, through a `denoise` callable."""

from declouds.samplers.ddim import DDIM
from declouds.samplers.ddpm import DDPM
from declouds.samplers.pyramid import Pyramid

__all__ = ["DDIM", "DDPM", "Pyramid"]
