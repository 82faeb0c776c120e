"""Models: what is trained as a whole, put together from registered parts."""

from declouds.models.diffusion_enhancement import DiffusionEnhancement
from declouds.models.one_pass import OnePass

__all__ = ["DiffusionEnhancement", "OnePass"]
